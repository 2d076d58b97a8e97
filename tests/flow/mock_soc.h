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
        for (const char* name : {"FORGETFUL", "DEAF", "ALWAYS_FAILS", "STOPS", "BUS"})
            broken_[name] = getenv("MOCK_BROKEN") && std::string(getenv("MOCK_BROKEN")) == name;
    }

    void clock() {
        cycles++;
        top->rvfi_valid = 0;
        if (cycles % 3 == 0 && !(broken_["STOPS"] && order_ > 1000)) retire();
#ifdef MOCK_AXI
        if (broken_["BUS"] && cycles == 1000) top->axi_violation = 4;
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

    void retire() {
        const bool external = top->external_interrupt && !broken_["DEAF"];
        const uint64_t pending = (software_ ? MIP_MSIP : 0) | (cycles >= compare_ ? MIP_MTIP : 0) |
                                 (external ? MIP_MEIP : 0);
        // A core forgets reservations at times that Spike does not know.
        if (broken_["ALWAYS_FAILS"] || (broken_["FORGETFUL"] && entering_)) core_.drop_reservation();
        const uint64_t pc = core_.pc();
        const ReferenceStep step = core_.step(pending);
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

    SpikeModel core_;
    std::map<std::string, bool> broken_;
    uint64_t order_ = 0, cause_ = 0, cause_interrupt_ = 0, compare_ = ~uint64_t(0);
    bool entering_ = false, software_ = false;
};
