"""One description of RV64 and Xfides: opcodes, CSRs, causes, layouts.

The decoder, the golden model, the assembler macros and the documentation read these tables; nothing else in
the project restates an encoding.
"""
