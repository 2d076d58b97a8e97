// How often each instruction was executed.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

class Coverage {
public:
    // `encodings`: match and mask of each 32-bit instruction, of which `executed` counts the executions by the
    // same index; `executed_halfwords` has an element for every compressed encoding.
    Coverage(const uint32_t* encodings, uint64_t count, uint64_t* executed, uint64_t* executed_halfwords)
        : encodings_(encodings), executed_(executed), executed_halfwords_(executed_halfwords) {
        for (uint32_t row = 0; row < count; row++) {
            const uint32_t match = encodings[2 * row], mask = encodings[2 * row + 1];
            for (uint32_t kind = 0; kind < kKinds; kind++)
                if (((word_of(kind) ^ match) & mask & word_of(kKinds - 1)) == 0) rows_[kind].push_back(row);
        }
    }

    void count(uint32_t instruction) {
        if ((instruction & 3) != 3) {
            executed_halfwords_[instruction & 0xffff]++;
            return;
        }
        for (uint32_t row : rows_[(instruction >> 2 & 31) | (instruction >> 12 & 7) << 5]) {
            if ((instruction & encodings_[2 * row + 1]) == encodings_[2 * row]) {
                executed_[row]++;
                return;
            }
        }
    }

private:
    static constexpr uint32_t kKinds = 256;  // opcode[6:2] and funct3
    static uint32_t word_of(uint32_t kind) { return (kind & 31) << 2 | kind >> 5 << 12; }

    const uint32_t* encodings_;
    uint64_t *executed_, *executed_halfwords_;
    std::array<std::vector<uint32_t>, kKinds> rows_;
};
