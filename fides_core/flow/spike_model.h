// Spike as a library: one hart with M and U mode and PMP, main memory, and whatever devices the user of this
// header attaches. Compile with -std=c++20 -D_GLIBCXX_USE_CXX11_ABI=0, as Spike's shared library was.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <riscv/cfg.h>
#include <riscv/disasm.h>
#include <riscv/encoding.h>
#include <riscv/mmu.h>
#include <riscv/processor.h>
#include <riscv/simif.h>

// What one step of the reference did. A step is an instruction, or a trap in its place.
struct ReferenceStep {
    uint64_t pc = 0;
    uint32_t instruction = 0;  // 16 bits of a compressed one; without meaning when the fetch failed
    unsigned mode = 0;
    bool trap = false;
    uint64_t cause = 0, trap_value = 0;  // when trap
    unsigned rd = 0;                     // 0 when no register was written
    uint64_t rd_value = 0;
    unsigned load_bytes = 0, store_bytes = 0;  // 0: none
    uint64_t load_address = 0, store_address = 0, store_value = 0;
};

class SpikeModel : public simif_t {
public:
    // A device access: address and size in bytes; false when nothing answers there.
    using Load = std::function<bool(uint64_t address, size_t size, uint8_t* bytes)>;
    using Store = std::function<bool(uint64_t address, size_t size, const uint8_t* bytes)>;

    // `isa`: a RISC-V ISA string.
    SpikeModel(const char* isa, uint64_t memory_base, uint64_t memory_bytes, unsigned pmp_entries, Load load,
               Store store)
        : memory(memory_bytes),
          isa_(isa),
          memory_base_(memory_base),
          load_(std::move(load)),
          store_(std::move(store)) {
        config_.isa = isa_.c_str();
        config_.priv = "mu";
        config_.hartids = {0};
        config_.start_pc = memory_base;
        config_.pmpregions = pmp_entries;
        config_.trigger_count = 0;
        log_.reset(fopen("/dev/null", "w"));
        hart = std::make_unique<processor_t>(config_.isa, config_.priv, &config_, this, 0, false, log_.get(),
                                             output_);
        harts_[0] = hart.get();
        hart->enable_log_commits();  // Spike fills the logs that step() reads only then
        hart->reset();
        hart->get_state()->pc = memory_base;
    }

    // Execute one instruction, or take one trap. `interrupts` is the level of mip's MSIP, MTIP and MEIP.
    ReferenceStep step(uint64_t interrupts = 0) {
        state_t& state = *hart->get_state();
        state.mip->backdoor_write_with_mask(MIP_MSIP | MIP_MTIP | MIP_MEIP, interrupts);
        hart->clear_waiting_for_interrupt();
        state.log_reg_write.clear();
        state.log_mem_read.clear();
        state.log_mem_write.clear();
        ReferenceStep result;
        result.pc = state.pc;
        result.mode = state.prv;
        result.instruction = instruction_at(state.pc);
        if (is_atomic(result.instruction)) refuse_devices_ = true;
        hart->step(1);
        refuse_devices_ = false;

        // Only a trap writes both of these at once.
        const auto epc = state.log_reg_write.find(CSR_MEPC << 4 | 4);
        const auto cause = state.log_reg_write.find(CSR_MCAUSE << 4 | 4);
        result.trap = epc != state.log_reg_write.end() && cause != state.log_reg_write.end();
        if (result.trap) {
            result.cause = cause->second.v[0];
            // Spike gives as many bytes as the length bits tell, which may be more than four.
            if (result.cause == CAUSE_ILLEGAL_INSTRUCTION) state.mtval->write(result.instruction);
            result.trap_value = state.mtval->read();
            return result;
        }
        for (const auto& [number, value] : state.log_reg_write) {
            if ((number & 15) == 0 && number >> 4) {
                result.rd = number >> 4;
                result.rd_value = value.v[0];
            }
        }
        for (const auto& [address, value, size] : state.log_mem_read) {
            result.load_address = address;
            result.load_bytes = size;
        }
        for (const auto& [address, value, size] : state.log_mem_write) {
            result.store_address = address;
            result.store_bytes = size;
            result.store_value = size == 8 ? value : value & ((uint64_t(1) << 8 * size) - 1);
        }
        return result;
    }

    // Overrule the result of the last step, for what only the implementation can know (time, device
    // registers).
    void set_register(unsigned number, uint64_t value) { hart->get_state()->XPR.write(number, value); }

    // The same for an sc that is to trap. Spike checks no more than the first byte's protection of an sc
    // without reservation: this one checks all of them, as a store does.
    ReferenceStep step_trapping_store_conditional() {
        const uint64_t pc = this->pc();
        const uint32_t word = instruction_at(pc), store = 0x23 | (word & (0x7000 | 0x1ff8000));
        for (unsigned i = 0; i < 4; i++) *addr_to_mem(pc + i) = store >> 8 * i;
        ReferenceStep result = step();
        for (unsigned i = 0; i < 4; i++) *addr_to_mem(pc + i) = word >> 8 * i;
        result.instruction = word;
        return result;
    }

    // Forget the reservation of an lr, so that the next sc fails.
    void drop_reservation() { hart->get_mmu()->yield_load_reservation(); }

    uint64_t pc() { return hart->get_state()->pc; }

    std::string disassemble(uint32_t instruction) {
        return hart->get_disassembler()->disassemble(insn_t(instruction));
    }

    // A word of AMO or LR/SC.
    static bool is_atomic(uint32_t instruction) { return (instruction & 0x7f) == 0x2f; }
    static bool is_store_conditional(uint32_t instruction) {
        const unsigned width = instruction >> 12 & 7;  // of words and doublewords, all others are reserved
        return is_atomic(instruction) && instruction >> 27 == 3 && (width == 2 || width == 3);
    }

    // simif_t
    char* addr_to_mem(reg_t address) override {
        return address - memory_base_ < memory.size() ? &memory[address - memory_base_] : nullptr;
    }
    // An sc without reservation fails wherever it points to: it makes no access that could be refused. Above
    // 32 bits it is refused before.
    bool reservable(reg_t address) override { return address >> 32 == 0; }
    bool mmio_fetch(reg_t, size_t, uint8_t*) override { return false; }
    bool mmio_load(reg_t address, size_t size, uint8_t* bytes) override {
        return !refuse_devices_ && load_(address, size, bytes);
    }
    bool mmio_store(reg_t address, size_t size, const uint8_t* bytes) override {
        return !refuse_devices_ && store_(address, size, bytes);
    }
    void proc_reset(unsigned) override {}
    const cfg_t& get_cfg() const override { return config_; }
    const std::map<size_t, processor_t*>& get_harts() const override { return harts_; }
    const char* get_symbol(uint64_t) override { return nullptr; }

    std::vector<char> memory;
    std::unique_ptr<processor_t> hart;

private:
    struct CloseFile {
        void operator()(FILE* file) const { fclose(file); }
    };

    uint32_t instruction_at(uint64_t pc) {
        uint16_t low = 0, high = 0;
        if (const char* bytes = addr_to_mem(pc)) memcpy(&low, bytes, 2);
        if ((low & 3) != 3) return low;
        if (const char* bytes = addr_to_mem(pc + 2)) memcpy(&high, bytes, 2);
        return low | uint32_t(high) << 16;
    }

    const std::string isa_;
    bool refuse_devices_ = false;  // devices do not take atomic accesses
    const uint64_t memory_base_;
    Load load_;
    Store store_;
    cfg_t config_;
    std::map<size_t, processor_t*> harts_;
    std::unique_ptr<FILE, CloseFile> log_;
    std::ostringstream output_;
};
