// What the core retires, as its retirement port (RVFI) reports it, for a comparison outside: with the golden
// model in Python.

#include "random_interrupt.h"
#include "soc_model.h"

extern "C" struct RetirementRecord {
    uint64_t pc, rd_value, address, store_value;
    uint32_t instruction;
    uint32_t cause;  // of an interrupt, when `interrupt`: mcause[5:0], and bit 31 for mcause[63]
    uint8_t mode, rd, load_mask, store_mask, trap, interrupt;
    uint16_t depth;  // ssdepth, when `interrupt`
};
static_assert(sizeof(RetirementRecord) == 48);

extern "C" struct RetirementOptions {
    uint64_t seed;              // of the external interrupt's times
    uint64_t interrupt_period;  // mean cycles between external interrupts, 0 for none
    uint64_t interrupt_at;      // the cycle of a single one, 0 for none
};

namespace {

constexpr uint32_t kExternalInterrupt = 11, kInterruptFlag = uint32_t(1) << 31;
constexpr uint64_t kExitCycles = 32;       // from the exit signal until the store's retirement is reported
constexpr uint64_t kStoppedCycles = 4000;  // without a retirement

enum Status : int { kRunning, kExited, kStopped, kOrder, kViolation };

class RetirementLog {
public:
    RetirementLog(const char* const* names, const RetirementOptions& options)
        : memory(soc.find(names[0], names[1])),
          options_(options),
          interrupt_(options.seed, options.interrupt_period),
          cause_(soc.find(names[2], names[3])),
          cause_is_interrupt_(soc.find(names[4], names[5])),
          depth_(soc.find(names[6], names[7])) {}

    // Run until `capacity` records are written or something ends the run; the number of records.
    uint64_t run(RetirementRecord* records, uint64_t capacity) {
        Vfides_soc& top = *soc.top;
        uint64_t count = 0;
        while (count < capacity && status == kRunning) {
            soc.clock();
            if (top.rvfi_valid) {
                idle_ = 0;
                if (top.rvfi_order != next_order_++) status = kOrder;
                records[count++] = read();
            } else if (++idle_ >= kStoppedCycles) {
                status = kStopped;
            }
            if (top.axi_violation) status = kViolation;
            drive_interrupt();
            if (top.exit_valid && ++after_exit_ > kExitCycles) status = kExited;
        }
        return count;
    }

    SocModel soc;
    PublicVariable memory;
    int status = kRunning;

private:
    RetirementRecord read() {
        const Vfides_soc& top = *soc.top;
        RetirementRecord record = {};
        record.pc = top.rvfi_pc_rdata;
        record.rd_value = top.rvfi_rd_wdata;
        record.address = top.rvfi_mem_addr;
        record.store_value = top.rvfi_mem_wdata;
        record.instruction = top.rvfi_insn;
        record.mode = top.rvfi_mode;
        record.rd = top.rvfi_rd_addr;
        record.load_mask = top.rvfi_mem_rmask;
        record.store_mask = top.rvfi_mem_wmask;
        record.trap = top.rvfi_trap;
        record.interrupt = top.rvfi_intr;
        if (record.interrupt) {
            record.depth = depth_.value();
            record.cause = cause_.value() | (cause_is_interrupt_.value() ? kInterruptFlag : 0);
            if (record.cause == (kInterruptFlag | kExternalInterrupt)) soc.top->external_interrupt = 0;
        }
        return record;
    }

    void drive_interrupt() {
        auto& line = soc.top->external_interrupt;
        line = interrupt_.next(line || (options_.interrupt_at && soc.cycles == options_.interrupt_at));
    }

    const RetirementOptions options_;
    RandomInterrupt interrupt_;
    PublicVariable cause_, cause_is_interrupt_, depth_;
    uint64_t next_order_ = 0, idle_ = 0, after_exit_ = 0;
};

}  // namespace

extern "C" {

RetirementLog* retirement_new(const char* const* names, const RetirementOptions* options, char* error,
                              size_t error_bytes) {
    try {
        return new RetirementLog(names, *options);
    } catch (const std::exception& exception) {
        snprintf(error, error_bytes, "%s", exception.what());
        return nullptr;
    }
}

void retirement_delete(RetirementLog* log) { delete log; }

int retirement_write(RetirementLog* log, uint64_t offset, const void* bytes, uint64_t count) {
    const uint64_t size = log->memory.total_bytes;
    if (offset > size || count > size - offset) return -1;
    memcpy(log->memory.data + offset, bytes, count);
    return 0;
}

uint64_t retirement_run(RetirementLog* log, RetirementRecord* records, uint64_t capacity) {
    return log->run(records, capacity);
}

int retirement_status(const RetirementLog* log) { return log->status; }

uint64_t retirement_cycles(const RetirementLog* log) { return log->soc.cycles; }

unsigned retirement_violation(const RetirementLog* log) { return log->soc.top->axi_violation; }

}  // extern "C"
