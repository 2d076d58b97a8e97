// Spike alone: runs a program with the devices of the system on a chip as far as random programs use them.
// Time counts instructions.

#include <algorithm>

#include "coverage.h"
#include "spike_model.h"

namespace {

constexpr uint64_t kMemoryBase = 0x80000000;
constexpr uint64_t kInterruptFlag = uint64_t(1) << 63;
// Offsets and status of the UART (soc/memory_map.py), which is always ready to transmit and receives nothing.
constexpr uint64_t kUartTransmit = 4, kUartStatus = 12, kUartTransmitEmpty = 1;

}  // namespace

extern "C" struct ReferenceSetup {
    const char* isa;
    uint64_t memory_bytes;
    uint32_t pmp_entries;
    uint64_t clint_base, exit_base, uart_base;
    const uint32_t* encodings;  // match and mask of each instruction
    uint64_t* executed;         // executions by the same index
    uint64_t encoding_count;
    uint64_t* executed_halfwords;  // 65536
};

extern "C" struct ReferenceResult {
    uint64_t instructions, user_instructions, traps, taken_branches;
    uint64_t by_cause[64], by_interrupt[16];
    uint64_t store_conditional[2];  // that succeeded, that failed
    uint64_t digest;                // of everything that was executed
    uint32_t exited, exit_code;
};

namespace {

class Reference {
public:
    explicit Reference(const ReferenceSetup& setup)
        : spike(
              setup.isa, kMemoryBase, setup.memory_bytes, setup.pmp_entries,
              [this](uint64_t address, size_t size, uint8_t* bytes) { return load(address, size, bytes); },
              [this](uint64_t address, size_t size, const uint8_t* bytes) {
                  return store(address, size, bytes);
              }),
          setup_(setup),
          coverage_(setup.encodings, setup.encoding_count, setup.executed, setup.executed_halfwords) {}

    void run(uint64_t max_instructions, uint64_t seed, uint64_t interrupt_period, ReferenceResult& result) {
        result = {};
        uint64_t random = seed * 0x9e3779b97f4a7c15 + 0x1234567;
        bool external = false;
        while (!exited_ && result.instructions + result.traps < max_instructions) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            if (interrupt_period && (random >> 16) % interrupt_period == 0) external = true;
            const bool timer = time_ >= compare_;
            time_++;
            const ReferenceStep step =
                spike.step((software_ ? MIP_MSIP : 0) | (timer ? MIP_MTIP : 0) | (external ? MIP_MEIP : 0));
            if (step.trap) {
                result.traps++;
                if (step.cause & kInterruptFlag) {
                    result.by_interrupt[step.cause & 15]++;
                    if ((step.cause & 15) == 11) external = false;
                } else {
                    result.by_cause[step.cause & 63]++;
                }
            } else {
                // A wfi waits for the external interrupt.
                if (step.instruction == 0x10500073) external = true;
                result.instructions++;
                if (step.mode == 0) result.user_instructions++;
                coverage_.count(step.instruction);
                if (SpikeModel::is_store_conditional(step.instruction))
                    result.store_conditional[step.store_bytes ? 0 : 1]++;
                if (spike.pc() - step.pc > 4) result.taken_branches++;
            }
            for (uint64_t value : {step.pc, uint64_t(step.instruction), step.rd_value, step.trap_value,
                                   step.store_address, step.store_value})
                result.digest = (result.digest ^ value) * 0x100000001b3;
        }
        result.exited = exited_;
        result.exit_code = exit_code_;
    }

    SpikeModel spike;
    std::string output;  // sent by the UART

private:
    bool load(uint64_t address, size_t size, uint8_t* bytes) {
        uint64_t value = 0;
        if (address - setup_.clint_base < 0x10000) {
            const uint64_t offset = address - setup_.clint_base;
            if (offset >> 3 == 0) value = software_;
            if (offset >> 3 == 0x4000 >> 3) value = compare_;
            if (offset >> 3 == 0xbff8 >> 3) value = time_;
            value >>= 8 * (offset & 7);
        } else if (address - setup_.uart_base < 0x100) {
            if ((address & 15) == kUartStatus) value = kUartTransmitEmpty;
        } else if (address - setup_.exit_base >= 0x1000) {
            return false;
        }
        memcpy(bytes, &value, size);
        return true;
    }

    bool store(uint64_t address, size_t size, const uint8_t* bytes) {
        uint64_t value = 0;
        memcpy(&value, bytes, size);
        if (address == setup_.exit_base && size >= 4) {
            exited_ = true;
            exit_code_ = value;
        } else if (address - setup_.clint_base < 0x10000) {
            if (address == setup_.clint_base) software_ = value & 1;
            if (address == setup_.clint_base + 0x4000 && size == 8) compare_ = value;
        } else if (address - setup_.uart_base < 0x100) {
            if ((address & 15) == kUartTransmit) output += char(value);
        } else {
            return address - setup_.exit_base < 0x1000;
        }
        return true;
    }

    const ReferenceSetup& setup_;
    Coverage coverage_;
    uint64_t time_ = 0, compare_ = ~uint64_t(0);
    uint32_t exit_code_ = 0;
    bool software_ = false, exited_ = false;
};

}  // namespace

extern "C" {

// `setup` must outlive the object.
Reference* reference_new(const ReferenceSetup* setup) {
    try {
        return new Reference(*setup);
    } catch (const std::exception&) {
        return nullptr;
    }
}

void reference_delete(Reference* reference) { delete reference; }

int reference_write(Reference* reference, uint64_t offset, const void* bytes, uint64_t count) {
    const uint64_t size = reference->spike.memory.size();
    if (offset > size || count > size - offset) return -1;
    memcpy(reference->spike.memory.data() + offset, bytes, count);
    return 0;
}

void reference_run(Reference* reference, uint64_t max_instructions, uint64_t seed, uint64_t interrupt_period,
                   ReferenceResult* result) {
    reference->run(max_instructions, seed, interrupt_period, *result);
}

// The characters sent, up to `size` of them; returns how many there are.
uint64_t reference_output(Reference* reference, char* buffer, uint64_t size) {
    memcpy(buffer, reference->output.data(), std::min(size, uint64_t(reference->output.size())));
    return reference->output.size();
}

}  // extern "C"
