# id: res-files-over
# class: resource
# attempts: hold four times as many descriptors as the limit says
# expect: error

import os
async def main():
    return len([os.dup(0) for _ in range(512)])
