# id: py-compile-constants
# class: python
# attempts: constants whose folding would take for ever
# expect: ok
# want: {"escaped": false}

async def main():
    if 0:
        return [2 ** 10 ** 10 ** 2, "x" * 10 ** 12, (1,) * 10 ** 11, 1 << 10 ** 9, b"y" * 10 ** 10 * 2]
    return {"escaped": False}
