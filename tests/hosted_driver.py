"""A process that dies: for each line of words on stdin it forks, prints the child's id and waits for "go".

The child runs `ftlab` with these words (after --variables: its environment), and the driver prints its exit code. The
SDKs are imported once, before.
"""

import json
import os
import sys

from ftlab.cli import main
from ftlab.models import counting_model, load_tokenizer

for name in sys.argv[1:]:
    __import__(name)

load_tokenizer(counting_model())

for line in sys.stdin:
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.read(read, 1)
        os.dup2(2, 1)  # stdout belongs to the driver
        words = json.loads(line)
        at = words.index("--variables")
        os.environ.update(variable.split("=", 1) for variable in words[at + 1 :])
        try:
            code = main(words[:at])
        except BaseException:
            code = 99
        os._exit(code)
    print(child, flush=True)
    sys.stdin.readline()
    os.write(write, b"g")
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
    os.close(read)
    os.close(write)
