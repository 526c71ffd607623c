# id: res-memory-over
# class: resource
# attempts: hold three times the memory limit, in pieces
# expect: error
# memory-mb: 64

async def main():
    return len([bytearray(b"x") * (1 << 20) for _ in range(192)])
