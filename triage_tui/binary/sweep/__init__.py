"""One quick pass over all code of a file: who calls what, who names which address, where functions begin.

It goes over the text that capstone gives per instruction (`disasm_lite`), which is an order of magnitude
faster than its details; `constants` follows single functions more exactly.
"""
