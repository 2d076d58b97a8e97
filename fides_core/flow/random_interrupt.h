// The external interrupt line of lockstep runs: raised at random times, the same ones for the same seed.
#pragma once

#include <cstdint>

class RandomInterrupt {
public:
    // `period`: mean cycles from one to the next, 0 for none.
    explicit RandomInterrupt(uint64_t seed = 0, uint64_t period = 0)
        : random_(seed * 0x9e3779b97f4a7c15 + 0x1234567), period_(period) {}

    // The level behind this cycle, `level` in it. An interrupt that is not taken goes away again after a while,
    // unless it is to `stay`: most are withdrawn in some critical cycle.
    bool next(bool level, bool stay = false) {
        if (!period_) return level;
        random_ ^= random_ << 13;
        random_ ^= random_ >> 7;
        random_ ^= random_ << 17;
        const uint64_t draw = random_ >> 16;
        return level ? stay || draw % 64 != 0 : draw % period_ == 0;
    }

private:
    uint64_t random_, period_;
};
