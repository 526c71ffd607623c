# id: state-scratch-names
# class: state
# attempts: be in the same scratch directory, by name, as an earlier call of the same tool: it told its caller where it is
# expect: contained
# arguments: {}
# repeat: 12
# distinct: home
# settings: full

import os
async def main():
    return {"home": os.getcwd()}
