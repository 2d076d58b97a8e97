// A system on a chip in which Spike is the core: with the ports and signals that the lockstep checker uses.
// It retires an instruction every third clock.
#pragma once

#include <cstdlib>

#include "spike_model.h"

struct Vfides_soc {
    uint8_t rvfi_valid = 0, rvfi_trap = 0, rvfi_intr = 0, rvfi_mode = 0, rvfi_rd_addr = 0;
    uint8_t rvfi_mem_rmask = 0, rvfi_mem_wmask = 0;
    uint32_t rvfi_insn = 0;
    uint64_t rvfi_order = 0, rvfi_pc_rdata = 0, rvfi_rd_wdata = 0, rvfi_mem_addr = 0, rvfi_mem_wdata = 0;
    uint8_t external_interrupt = 0, exit_valid = 0;
    uint32_t exit_code = 0;
#ifdef MOCK_AXI
    uint8_t axi_violation = 0;
#endif
};

struct PublicVariable {
    uint8_t* data = nullptr;
    size_t element_bytes = 0;
    size_t total_bytes = 0;

    uint64_t value() const {
        uint64_t result = 0;
        memcpy(&result, data, element_bytes < 8 ? element_bytes : 8);
        return result;
    }
};

// Spike with a fault that a core might have.
class BrokenSpike : public SpikeModel {
public:
    using SpikeModel::SpikeModel;

    ReferenceStep step_broken(uint64_t interrupts) {
        state_t& state = *hart->get_state();
        uint32_t word = 0;
        if (const char* bytes = addr_to_mem(pc())) memcpy(&word, bytes, 4);
        char* code = addr_to_mem(pc());
        const size_t bytes = (word & 3) == 3 ? 4 : 2;
        uint32_t old = word;
        if (fault == "STALE_CODE" && code) {
            old = decoded_.try_emplace(pc(), word).first->second;  // no fence.i changes what it has decoded
            memcpy(code, &old, bytes);
        }
        ReferenceStep result = step(interrupts);
        if (old != word) memcpy(code, &word, bytes);
        if (result.trap) {
            const bool fetch = result.cause == CAUSE_FETCH_ACCESS;
            if (fault == "SC_VALUE" && result.cause == CAUSE_STORE_ACCESS && is_store_conditional(word))
                state.mtval->write(0);
            if (fault == "STRADDLE_VALUE" && fetch) state.mtval->write(result.pc);
            if (fault == "ILLEGAL_VALUE" && result.cause == CAUSE_ILLEGAL_INSTRUCTION) state.mtval->write(word);
            if (fault == "LINK" && result.cause == CAUSE_BREAKPOINT) state.mepc->write(result.pc + 2);
        }
        return result;
    }

    bool mmio_fetch(reg_t address, size_t size, uint8_t* bytes) override {
        memset(bytes, 0, size);
        return fault == "FETCHES_DEVICES" && address - 0x2000000 < 0x10000;
    }
    bool mmio_load(reg_t address, size_t size, uint8_t* bytes) override {
        memset(bytes, 0, size);
        if (fault == "PAST_THE_END" && address - 0x80000000 - memory.size() < 64) return true;
        return SpikeModel::mmio_load(address, size, bytes);
    }

    std::string fault;

private:
    std::map<uint64_t, uint32_t> decoded_;
};

class SocModel {
public:
    SocModel()
        : top(std::make_unique<Vfides_soc>()),
          core_(
              getenv("MOCK_ISA"), kMemory, atoi(getenv("MOCK_MEMORY")), atoi(getenv("MOCK_PMP")),
              [this](uint64_t address, size_t size, uint8_t* bytes) { return load(address, size, bytes); },
              [this](uint64_t address, size_t size, const uint8_t* bytes) {
                  return store(address, size, bytes);
              }) {
        core_.fault = getenv("MOCK_BROKEN");
    }

    void clock() {
        cycles++;
        top->rvfi_valid = 0;
        if (cycles % 3 == 0 && !(broken("STOPS") && order_ > 1000)) retire();
#ifdef MOCK_AXI
        if (broken("BUS") && cycles == 1000) top->axi_violation = 4;
#endif
    }

    PublicVariable find(const std::string&, const std::string& name) {
        if (name == "words")
            return {reinterpret_cast<uint8_t*>(core_.memory.data()), 8, core_.memory.size()};
        uint64_t& variable = name == "cause" ? cause_ : cause_interrupt_;
        return {reinterpret_cast<uint8_t*>(&variable), 8, 8};
    }

    std::unique_ptr<Vfides_soc> top;
    uint64_t cycles = 0;

private:
    static constexpr uint64_t kMemory = 0x80000000, kClint = 0x2000000, kExit = 0x100000;

    bool broken(const char* how) const { return core_.fault == how; }

    void retire() {
        const bool external = top->external_interrupt && !broken("DEAF");
        const uint64_t pending = (software_ ? MIP_MSIP : 0) | (cycles >= compare_ ? MIP_MTIP : 0) |
                                 (external ? MIP_MEIP : 0);
        // A core forgets reservations at times that Spike does not know.
        if (broken("ALWAYS_FAILS") || (broken("FORGETFUL") && entering_)) core_.drop_reservation();
        const uint64_t pc = core_.pc();
        const ReferenceStep step = core_.step_broken(pending);
        if (step.trap) {
            cause_ = step.cause & 63;
            cause_interrupt_ = step.cause >> 63;
        }
        if (step.trap && step.cause >> 63) {
            entering_ = true;
            return;
        }
        top->rvfi_valid = 1;
        top->rvfi_order = order_++;
        top->rvfi_pc_rdata = pc;
        top->rvfi_insn = step.instruction;
        top->rvfi_mode = step.mode;
        top->rvfi_trap = step.trap;
        top->rvfi_intr = entering_;
        entering_ = step.trap;
        top->rvfi_rd_addr = step.rd;
        top->rvfi_rd_wdata = step.rd_value;
        if (step.rd && (step.instruction & 0x707f) == 0x2073 && step.instruction >> 20 == CSR_MCYCLE) {
            top->rvfi_rd_wdata = cycles;
            core_.set_register(step.rd, cycles);
        }
        const uint64_t address = step.store_bytes ? step.store_address : step.load_address;
        top->rvfi_mem_addr = address & ~uint64_t(7);
        top->rvfi_mem_rmask = ((1 << step.load_bytes) - 1) << (address & 7);
        top->rvfi_mem_wmask = ((1 << step.store_bytes) - 1) << (address & 7);
        top->rvfi_mem_wdata = step.store_value << 8 * (address & 7);
    }

    bool load(uint64_t address, size_t size, uint8_t* bytes) {
        uint64_t value = 0;
        if (address - kClint < 0x10000) {
            const uint64_t offset = address - kClint;
            if (offset >> 3 == 0) value = software_;
            if (offset >> 3 == 0x4000 >> 3) value = compare_;
            if (offset >> 3 == 0xbff8 >> 3) value = cycles;
            value >>= 8 * (offset & 7);
        } else if (address - 0x1000 >= 0x1000 && address - kExit >= 0x1000 && address - 0x11300 >= 0x100) {
            return false;
        }
        memcpy(bytes, &value, size);
        return true;
    }

    bool store(uint64_t address, size_t size, const uint8_t* bytes) {
        uint64_t value = 0;
        memcpy(&value, bytes, size);
        if (address == kExit && size >= 4) {
            top->exit_valid = 1;
            top->exit_code = value;
        } else if (address - kClint < 0x10000) {
            if (address == kClint) software_ = value & 1;
            if (address == kClint + 0x4000 && size == 8) compare_ = value;
        } else {
            return address - kExit < 0x1000 || address - 0x11300 < 0x100;
        }
        return true;
    }

    BrokenSpike core_;
    uint64_t order_ = 0, cause_ = 0, cause_interrupt_ = 0, compare_ = ~uint64_t(0);
    bool entering_ = false, software_ = false;
};
