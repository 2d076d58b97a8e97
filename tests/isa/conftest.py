"""GNU binutils as the independent source of encodings."""

import subprocess

import pytest

from fides_core.flow import tools


@pytest.fixture
def assemble_words(tmp_path):
    """The 32-bit words of assembler statements, one word each."""

    def assemble(lines, march="rv64imac_zicsr_zifencei_zba_zbb_zbs"):
        source, program, binary = (tmp_path / f"words.{suffix}" for suffix in ("S", "elf", "bin"))
        source.write_text("\n".join([".option norvc", ".option norelax", *lines]) + "\n")
        gcc = [tools.find("riscv64-unknown-elf-gcc"), f"-march={march}", "-mabi=lp64", "-nostdlib"]
        # Linked, for offsets of jumps, in the middle of memory, for negative ones.
        link = ["-Wl,-Ttext=0x80000000", "-Wl,-e,0x80000000"]
        subprocess.run([*gcc, *link, "-o", program, source], check=True)
        objcopy = tools.find("riscv64-unknown-elf-objcopy")
        subprocess.run([objcopy, "-O", "binary", "-j", ".text", program, binary], check=True)
        data = binary.read_bytes()
        words = [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]
        assert len(words) == len(lines)
        return words

    return assemble


@pytest.fixture
def disassemble_halfwords(tmp_path):
    """{halfword: [mnemonic, operand...]} by objdump for compressed halfwords, without aliases, registers as
    numbers, offsets of jumps relative to the instruction; None where it knows no instruction."""

    def disassemble(halfwords):
        binary = tmp_path / "halfwords.bin"
        binary.write_bytes(b"".join(halfword.to_bytes(2, "little") for halfword in halfwords))
        command = [tools.find("riscv64-unknown-elf-objdump"), "-b", "binary", "-m", "riscv:rv64"]
        command += ["-M", "no-aliases,numeric", "-D", binary]
        listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = {}
        for line in listing.splitlines():
            columns = [column.strip() for column in line.split("\t")]
            if len(columns) < 3:
                continue
            address, halfword, name = int(columns[0][:-1], 16), int(columns[1], 16), columns[2]
            operands = columns[3].split(",") if len(columns) > 3 else []
            if name in ("c.j", "c.beqz", "c.bnez"):
                target = int(operands[-1], 16)
                operands[-1] = target - address - (1 << 64 if target >> 63 else 0)
            found[halfword] = None if name == ".2byte" else [name, *operands]
        return found

    return disassemble
