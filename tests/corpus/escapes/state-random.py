# id: state-random
# class: state
# attempts: draw the same random values as another call
# expect: ok
# repeat: 4
# distinct: random uuid name openssl token urandom

import os, random, secrets, ssl, tempfile, uuid
async def main():
    return {"random": random.random(), "uuid": str(uuid.uuid4()), "name": next(tempfile._get_candidate_names()),
            "openssl": ssl.RAND_bytes(8).hex(), "token": secrets.token_hex(8), "urandom": os.urandom(8).hex()}
