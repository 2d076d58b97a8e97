// The core and Spike in lockstep: every retired instruction and every trap of the core, as its retirement
// port (RVFI) reports them, is compared with what Spike does at the same place.

#include "coverage.h"
#include "random_interrupt.h"
#ifdef SOC_MODEL
#include SOC_MODEL  // what the checker's tests put in the system's place
#else
#include "soc_model.h"
#endif
#include "spike_model.h"

#include <array>
#include <utility>

namespace {

constexpr uint64_t kMemoryBase = 0x80000000;
constexpr uint64_t kInterruptFlag = uint64_t(1) << 63;
constexpr int kExternalInterrupt = 11;
constexpr size_t kHistory = 16;
constexpr unsigned kInterruptLatency = 8;  // instructions that may retire before a pending interrupt is taken
constexpr unsigned kConstrainedInstructions = 16;  // between lr and sc
constexpr uint64_t kExitCycles = 32;       // from the exit signal until the store's retirement is reported
constexpr uint64_t kWaitCycles = 600;      // without a retirement: wake a wfi up
constexpr uint64_t kStoppedCycles = 4000;  // without a retirement although an interrupt is pending

// One report of the retirement port.
struct Retirement {
    uint64_t order, pc, rd_value, address, store_value;
    uint32_t instruction;
    unsigned mode, rd, load_mask, store_mask;
    bool trap, interrupt;
};

// The youngest entries pushed, oldest first.
template <class Entry>
class History {
public:
    void push(const Entry& entry) { entries_[count_++ % kHistory] = entry; }

    template <class Function>
    void for_each(Function function) const {
        for (uint64_t i = count_ > kHistory ? count_ - kHistory : 0; i < count_; i++)
            function(entries_[i % kHistory]);
    }

private:
    std::array<Entry, kHistory> entries_{};
    uint64_t count_ = 0;
};

// Where a byte mask begins and how many bytes it selects; 0 bytes when it is no naturally sized run of bytes.
struct Lanes {
    unsigned offset = 0, bytes = 0;
    explicit Lanes(unsigned mask) {
        if (!mask) return;
        offset = __builtin_ctz(mask);
        const unsigned run = mask >> offset;
        if ((run & (run + 1)) == 0) bytes = __builtin_popcount(run);
        if (bytes & (bytes - 1)) bytes = 0;
    }
};

uint64_t low_bytes(uint64_t value, unsigned bytes) {
    return bytes >= 8 ? value : value & ((uint64_t(1) << 8 * bytes) - 1);
}

template <class... Arguments>
std::string format(const char* pattern, Arguments... arguments) {
    char text[512];
    snprintf(text, sizeof text, pattern, arguments...);
    return text;
}

// What the checker's own test spoils in a report, to see that the comparison notices.
enum Fault : uint32_t {
    kNone,
    kPc,
    kInstruction,
    kTrap,
    kMode,
    kRd,
    kRdValue,
    kAddress,
    kStoreValue,
    kMask,
    kDrop,
    kSuccess
};

}  // namespace

extern "C" struct LockstepRegion {
    uint64_t base, bytes;
    uint32_t writable;
};

extern "C" struct LockstepSetup {
    const char* const* names;  // scope and variable of: main memory, mcause's code, mcause's interrupt bit
    const char* isa;
    uint64_t memory_bytes;
    uint32_t pmp_entries, hpm_counters;
    const LockstepRegion* devices;
    uint64_t device_count;
    const uint32_t* encodings;  // match and mask of each instruction
    uint64_t* executed;         // retirements by the same index
    uint64_t encoding_count;
    uint64_t* executed_halfwords;  // 65536: retirements by compressed encoding
};

extern "C" struct LockstepOptions {
    uint64_t max_instructions;
    uint64_t seed;              // of the external interrupt's times
    uint64_t interrupt_period;  // mean cycles between external interrupts, 0 for none
    uint64_t fault_at;          // spoil the first suitable report from this one on
    uint32_t fault;             // what of it, 0 for nothing
};

extern "C" struct LockstepResult {
    uint64_t cycles, instructions, traps, interrupts;
    uint64_t by_cause[64];      // traps by mcause
    uint64_t by_interrupt[16];  // interrupts by mcause
    uint64_t store_conditional[2];  // that succeeded, that failed
    uint32_t exited, exit_code, mismatch;
};

namespace {

class Lockstep {
public:
    explicit Lockstep(const LockstepSetup& setup)
        : spike(
              setup.isa, kMemoryBase, setup.memory_bytes, setup.pmp_entries,
              [this](uint64_t address, size_t size, uint8_t* bytes) { return load(address, size, bytes); },
              [this](uint64_t address, size_t size, const uint8_t*) { return device(address, size, true); }),
          setup_(setup),
          coverage_(setup.encodings, setup.encoding_count, setup.executed, setup.executed_halfwords) {
        const char* const* names = setup.names;
        memory = soc.find(names[0], names[1]);
        if (memory.total_bytes != setup.memory_bytes)
            throw std::runtime_error("the model's main memory has another size");
        cause_ = soc.find(names[2], names[3]);
        cause_is_interrupt_ = soc.find(names[4], names[5]);
    }

    void run(const LockstepOptions& options, LockstepResult& result) {
        options_ = &options;
        result_ = &result;
        result = {};
        interrupt_ = RandomInterrupt(options.seed, options.interrupt_period);
        uint64_t idle = 0, after_exit = 0;
        Vfides_soc& top = *soc.top;
        while (report.empty() && result.instructions + result.traps < options.max_instructions) {
            soc.clock();
            if (top.rvfi_valid) {
                idle = 0;
                check(read());
            } else if (++idle >= kStoppedCycles) {
                fail("the core has stopped retiring instructions");
            }
            check_bus();
            drive_interrupt(idle >= kWaitCycles);
            if (top.exit_valid && ++after_exit > kExitCycles) break;
        }
        result.cycles = soc.cycles;
        result.exited = top.exit_valid;
        result.exit_code = top.exit_code;
        result.mismatch = !report.empty();
    }

    SocModel soc;
    SpikeModel spike;
    PublicVariable memory;
    std::string report;

private:
    Retirement read() const {
        const Vfides_soc& top = *soc.top;
        return {top.rvfi_order,     top.rvfi_pc_rdata,  top.rvfi_rd_wdata,  top.rvfi_mem_addr,
                top.rvfi_mem_wdata, top.rvfi_insn,      top.rvfi_mode,      top.rvfi_rd_addr,
                top.rvfi_mem_rmask, top.rvfi_mem_wmask, top.rvfi_trap != 0, top.rvfi_intr != 0};
    }

    void check(Retirement core) {
        if (core.order != next_order_)
            return fail("rvfi_order is %" PRIu64 ", not %" PRIu64, core.order, next_order_);
        next_order_++;
        if (!started_) {
            if (core.pc != kMemoryBase) return boot(core);
            start();
        }
        if (options_->fault && reports_++ >= options_->fault_at && !spoiled_) {
            if (options_->fault == kDrop) {
                spoiled_ = true;
                return;
            }
            spoiled_ = spoil(core);
        }
        core_history_.push(core);

        if (core.interrupt && !trapped_) {
            const uint64_t number = cause_.value();
            if (!cause_is_interrupt_.value())
                return fail("rvfi_intr is set, but mcause is not an interrupt's");
            const ReferenceStep entry = spike.step(uint64_t(1) << number);
            reference_history_.push({entry, spike.pc()});
            if (!entry.trap || entry.cause != (kInterruptFlag | number))
                return fail("the core took interrupt %" PRIu64 ", which the reference does not take here",
                            number);
            result_->interrupts++;
            result_->by_interrupt[number & 15]++;
            if (number == kExternalInterrupt) soc.top->external_interrupt = 0;
        } else if (core.interrupt != trapped_) {
            return fail("rvfi_intr is not set on the first instruction of a handler");
        }

        // When a reservation is lost beside the cases that the reference knows is up to the core; it must not
        // be lost without reason.
        const bool conditional = SpikeModel::is_store_conditional(core.instruction) && !core.trap;
        if (conditional && !core.store_mask) {
            if (must_succeed(core)) return fail("sc fails right behind its lr");
            spike.drop_reservation();
        }
        core_ = &core;
        const bool refused = SpikeModel::is_store_conditional(core.instruction) && core.trap &&
                             core.pc == spike.pc() && spike.addr_to_mem(core.pc) &&
                             spike.addr_to_mem(core.pc + 3);
        ReferenceStep reference = refused ? spike.step_trapping_store_conditional() : spike.step();
        core_ = nullptr;
        if (!reference.trap && is_volatile(core.instruction) && core.rd == reference.rd && core.rd) {
            spike.set_register(core.rd, core.rd_value);
            reference.rd_value = core.rd_value;
        }
        reference_history_.push({reference, spike.pc()});
        compare(core, reference);
        if (report.empty()) check_pending();
        follow_reservation(core, reference);
        trapped_ = core.trap;
        if (core.trap) {
            result_->traps++;
            result_->by_cause[reference.cause & 63]++;
        } else {
            result_->instructions++;
            coverage_.count(core.instruction);
            if (conditional) result_->store_conditional[core.store_mask ? 0 : 1]++;
        }
    }

    // The last lr of which an sc to the same bytes succeeds for certain: only instructions that compute came
    // behind it (unprivileged ISA, section 8.3), and few of them.
    void follow_reservation(const Retirement& core, const ReferenceStep& reference) {
        const bool load_reserved = SpikeModel::is_atomic(core.instruction) && core.instruction >> 27 == 2;
        if (load_reserved && !core.trap) {
            reserved_address_ = reference.load_address;
            reserved_bytes_ = reference.load_bytes;
            reserved_for_ = kConstrainedInstructions;
        } else if (core.trap || core.interrupt || core.load_mask || core.store_mask ||
                   (core.instruction & 0x7f) == 0x0f || (core.instruction & 0x7f) == 0x73) {
            reserved_for_ = 0;
        } else if (reserved_for_) {
            reserved_for_--;
        }
    }

    bool must_succeed(const Retirement& core) const {
        const unsigned bytes = core.instruction >> 12 & 1 ? 8 : 4;
        const unsigned base = core.instruction >> 15 & 31;
        return reserved_for_ && !core.interrupt && bytes == reserved_bytes_ &&
               spike.hart->get_state()->XPR[base] == reserved_address_;
    }

    // What the checker of the bus protocol says, where the system on a chip has one.
    void check_bus() {
        const unsigned violation = axi_violation(*soc.top, 0);
        if (violation && report.empty()) fail("the AXI protocol is violated: axi_violation is %#x", violation);
    }

    template <class Top>
    static auto axi_violation(const Top& top, int) -> decltype(unsigned(top.axi_violation)) {
        return top.axi_violation;
    }
    template <class Top>
    static unsigned axi_violation(const Top&, long) {
        return 0;
    }

    // Spike follows the core into interrupts; that the core takes them at all, and soon, is checked here.
    void check_pending() {
        const uint64_t enabled = spike.hart->get_csr(CSR_MIE) & MIP_MEIP;
        const bool user = spike.hart->get_state()->prv == PRV_U;
        const bool allowed = user || (spike.hart->get_csr(CSR_MSTATUS) & MSTATUS_MIE);
        ignored_ = soc.top->external_interrupt && enabled && allowed ? ignored_ + 1 : 0;
        if (ignored_ > kInterruptLatency) fail("an enabled external interrupt is pending and is not taken");
    }

    // The boot ROM's instructions run on the core only: what they leave behind is copied.
    void boot(const Retirement& core) {
        if (core.rd) spike.set_register(core.rd, core.rd_value);
        if (!core.trap) spike.hart->get_state()->minstret->bump(1);
    }

    void start() {
        started_ = true;
        memcpy(spike.memory.data(), memory.data, memory.total_bytes);
    }

    void compare(const Retirement& core, const ReferenceStep& reference) {
        if (core.pc != reference.pc) return fail("pc differs");
        if (core.mode != reference.mode) return fail("privilege mode differs");
        const bool fetched = !(reference.trap && reference.cause == CAUSE_FETCH_ACCESS);
        if (fetched && core.instruction != reference.instruction) return fail("instruction word differs");
        if (core.trap != reference.trap)
            return fail(core.trap ? "only the core traps" : "only the reference traps");
        if (core.rd != reference.rd) return fail("destination register differs");
        if (core.rd && core.rd_value != reference.rd_value) return fail("register value differs");
        if (core.trap) {
            // A load that was asked for and failed may be reported, but nothing may have been stored.
            if (core.store_mask) fail("an instruction that traps stores");
            return;
        }

        const Lanes stored(core.store_mask), loaded(core.load_mask);
        if (stored.bytes != reference.store_bytes || (core.store_mask && !stored.bytes))
            return fail("size of the store differs");
        if (loaded.bytes != reference.load_bytes || (core.load_mask && !loaded.bytes))
            return fail("size of the load differs");
        if (stored.bytes && core.address + stored.offset != reference.store_address)
            return fail("address of the store differs");
        if (loaded.bytes && core.address + loaded.offset != reference.load_address)
            return fail("address of the load differs");
        if (stored.bytes &&
            low_bytes(core.store_value >> 8 * stored.offset, stored.bytes) != reference.store_value)
            return fail("stored value differs");
    }

    // Spike's side of device accesses: stores go nowhere, loads give what the core got.
    bool device(uint64_t address, size_t size, bool store) const {
        for (uint64_t i = 0; i < setup_.device_count; i++) {
            const LockstepRegion& region = setup_.devices[i];
            if (address - region.base < region.bytes && address - region.base + size <= region.bytes)
                return region.writable || !store;
        }
        return false;
    }

    bool load(uint64_t address, size_t size, uint8_t* bytes) {
        if (!device(address, size, false)) return false;
        if (core_) memcpy(bytes, &core_->rd_value, size);
        return true;
    }

    // CSRs whose value depends on the cycle, on lines from outside, or on who made the core.
    bool is_volatile(uint32_t word) const {
        if ((word & 0x7f) != 0x73 || (word >> 12 & 3) == 0) return false;
        const uint32_t number = word >> 20;
        for (uint32_t first : {CSR_MHPMCOUNTER3, CSR_HPMCOUNTER3, CSR_MHPMEVENT3})
            if (number - first < setup_.hpm_counters) return true;
        switch (number) {
            case CSR_CYCLE:
            case CSR_MCYCLE:
            case CSR_TIME:
            case CSR_MIP:
            case CSR_MARCHID:
                return true;
        }
        return false;
    }

    void drive_interrupt(bool wake) {
        auto& line = soc.top->external_interrupt;
        line = interrupt_.next(line || wake, wake);
    }

    bool spoil(Retirement& core) const {
        switch (options_->fault) {
            case kPc:
                core.pc ^= 2;
                return true;
            case kInstruction:
                core.instruction ^= 1 << 20;
                return true;
            case kTrap:
                core.trap = !core.trap;
                return true;
            case kMode:
                core.mode ^= 3;
                return true;
            case kRd:
                if (!core.rd) return false;
                core.rd ^= 31;
                return true;
            case kRdValue:
                if (!core.rd || is_volatile(core.instruction)) return false;
                core.rd_value ^= uint64_t(1) << 40;
                return true;
            case kAddress:
                if (!core.store_mask) return false;
                core.address ^= 8;
                return true;
            case kStoreValue:
                if (!core.store_mask) return false;
                core.store_value ^= uint64_t(1) << 8 * Lanes(core.store_mask).offset;
                return true;
            case kMask:
                if (!core.load_mask) return false;
                core.load_mask &= core.load_mask - 1;
                return true;
            case kSuccess:
                if (!SpikeModel::is_store_conditional(core.instruction) || !core.rd || core.trap) return false;
                core.rd_value ^= 1;
                return true;
        }
        return true;
    }

    std::string describe(const Retirement& core) {
        std::string text =
            format("%10" PRIu64 "  %c %016" PRIx64 " %08x %-32s", core.order, "US?M"[core.mode & 3], core.pc,
                   core.instruction, spike.disassemble(core.instruction).c_str());
        if (core.interrupt) text += " handler";
        if (core.trap) text += " trap";
        if (core.rd) text += format(" x%u=%" PRIx64, core.rd, core.rd_value);
        const Lanes stored(core.store_mask), loaded(core.load_mask);
        if (core.load_mask)
            text += format(" load%u[%" PRIx64 "]", loaded.bytes, core.address + loaded.offset);
        if (core.store_mask)
            text += format(" store%u[%" PRIx64 "]=%" PRIx64, stored.bytes, core.address + stored.offset,
                           low_bytes(core.store_value >> 8 * stored.offset, stored.bytes));
        return text;
    }

    std::string describe(const std::pair<ReferenceStep, uint64_t>& entry) {
        const auto& [step, next_pc] = entry;
        std::string text = format("%10s  %c %016" PRIx64 " %08x %-32s", "", "US?M"[step.mode & 3], step.pc,
                                  step.instruction, spike.disassemble(step.instruction).c_str());
        if (step.trap)
            text += format(" trap cause=%" PRIx64 " value=%" PRIx64 " to %" PRIx64, step.cause,
                           step.trap_value, next_pc);
        if (step.rd) text += format(" x%u=%" PRIx64, step.rd, step.rd_value);
        if (step.load_bytes) text += format(" load%u[%" PRIx64 "]", step.load_bytes, step.load_address);
        if (step.store_bytes)
            text += format(" store%u[%" PRIx64 "]=%" PRIx64, step.store_bytes, step.store_address,
                           step.store_value);
        return text;
    }

    template <class... Arguments>
    void fail(const char* pattern, Arguments... arguments) {
        report = format(pattern, arguments...) + format(" (cycle %" PRIu64 ")\n", soc.cycles);
        report += "the core's last instructions:\n";
        core_history_.for_each([this](const auto& entry) { report += describe(entry) + "\n"; });
        report += "the reference's:\n";
        reference_history_.for_each([this](const auto& entry) { report += describe(entry) + "\n"; });
        report += "the reference's state:";
        constexpr std::pair<const char*, int> registers[] = {
            {"mstatus", CSR_MSTATUS},   {"mie", CSR_MIE},           {"mtvec", CSR_MTVEC},
            {"mepc", CSR_MEPC},         {"mcause", CSR_MCAUSE},     {"mtval", CSR_MTVAL}};
        for (const auto& [name, number] : registers)
            report += format(" %s=%" PRIx64, name, spike.hart->get_csr(number));
        for (unsigned i = 0; i < setup_.pmp_entries; i += 8)
            report += format(" pmpcfg%u=%" PRIx64, i / 4, spike.hart->get_csr(CSR_PMPCFG0 + i / 4));
        for (unsigned i = 0; i < setup_.pmp_entries; i++)
            report += format(" pmpaddr%u=%" PRIx64, i, spike.hart->get_csr(CSR_PMPADDR0 + i));
        report += "\n";
    }

    const LockstepOptions* options_ = nullptr;
    LockstepResult* result_ = nullptr;
    PublicVariable cause_, cause_is_interrupt_;
    const LockstepSetup& setup_;
    Coverage coverage_;
    uint64_t reserved_address_ = 0;
    unsigned reserved_bytes_ = 0, reserved_for_ = 0;  // instructions for which the reservation holds
    History<Retirement> core_history_;
    History<std::pair<ReferenceStep, uint64_t>> reference_history_;  // with the pc after the step
    const Retirement* core_ = nullptr;  // the report that Spike is about to follow
    uint64_t next_order_ = 0, reports_ = 0;
    RandomInterrupt interrupt_;
    unsigned ignored_ = 0;
    bool started_ = false, trapped_ = false, spoiled_ = false;
};

}  // namespace

extern "C" {

// `setup` must outlive the object.
Lockstep* lockstep_new(const LockstepSetup* setup, char* error, size_t error_bytes) {
    try {
        return new Lockstep(*setup);
    } catch (const std::exception& exception) {
        snprintf(error, error_bytes, "%s", exception.what());
        return nullptr;
    }
}

void lockstep_delete(Lockstep* lockstep) { delete lockstep; }

int lockstep_write(Lockstep* lockstep, uint64_t offset, const void* bytes, uint64_t count) {
    const uint64_t size = lockstep->memory.total_bytes;
    if (offset > size || count > size - offset) return -1;
    memcpy(lockstep->memory.data + offset, bytes, count);
    return 0;
}

void lockstep_run(Lockstep* lockstep, const LockstepOptions* options, LockstepResult* result) {
    lockstep->run(*options, *result);
}

const char* lockstep_report(Lockstep* lockstep) { return lockstep->report.c_str(); }

}  // extern "C"
