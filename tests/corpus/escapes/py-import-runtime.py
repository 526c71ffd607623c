# id: py-import-runtime
# class: python
# attempts: import the runtime itself and change what comes after main()
# expect: contained

import sys
async def main():
    for name, module in list(sys.modules.items()):
        if name.startswith("mcpbox_runtime"):
            for key, value in list(vars(module).items()):
                if callable(value) and not key.startswith("__"):
                    setattr(module, key, lambda *a, **k: b'{"ok":true,"escaped":true}')
    return {"escaped": False}
