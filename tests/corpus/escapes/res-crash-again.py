# id: res-crash-again
# class: resource
# attempts: crash often, so that the executor renews what calls are forked from
# expect: error
# repeat: 12

import ctypes
async def main():
    ctypes.string_at(8)
