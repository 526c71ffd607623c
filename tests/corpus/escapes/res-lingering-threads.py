# id: res-lingering-threads
# class: resource
# attempts: return, while threads with all signals blocked go on working
# expect: contained
# needs: sibling

import signal, threading
def work():
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    while True:
        print("still here")
async def main():
    for _ in range(8):
        threading.Thread(target=work).start()
    return {"escaped": False}
