# id: ch-exit-codes
# class: channel
# attempts: end with the exit codes by which the sandbox tells of its own failures
# expect: error
# arguments: {"code": 123}

import os
async def main(code: int):
    os._exit(code)
