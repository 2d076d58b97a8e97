// The Verilated system on a chip, as the simulator and the lockstep checker drive it: clock, reset, and
// access by name to the signals that the configuration file given to Verilator makes public.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>

#include "Vfides_soc.h"
#include "verilated.h"
#include "verilated_syms.h"
#if VM_TRACE_FST
#include "verilated_fst_c.h"
using TraceFile = VerilatedFstC;
#elif VM_TRACE_VCD
#include "verilated_vcd_c.h"
using TraceFile = VerilatedVcdC;
#endif

// One variable of the model, or a memory of them.
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
    static constexpr int kResetCycles = 4;

    SocModel() {
        context.traceEverOn(VM_TRACE);
        top = std::make_unique<Vfides_soc>(&context);
        top->clk = 0;
        top->rst = 1;
        top->uart_rx = 1;
        top->external_interrupt = 0;
        for (int i = 0; i < kResetCycles; i++) clock();
        top->rst = 0;
        cycles = 0;
    }

    ~SocModel() {
        close_trace();
        top->final();
    }

    // One clock period. Outputs are stable between calls; inputs set between calls are seen at the next
    // rising edge.
    void clock() {
#if VM_TRACE
        top->clk = 1;
        top->eval();
        dump(2 * cycles);
        top->clk = 0;
        top->eval();
        dump(2 * cycles + 1);
#else
        top->clk = !top->clk;  // built for one cycle at each edge
        top->eval();
#endif
        cycles++;
    }

    // The variable `name` in the instance whose path, below the top level, is `scope`; throws when it is not
    // public.
    PublicVariable find(const std::string& scope, const std::string& name) {
        const std::string path = "TOP.fides_soc" + (scope.empty() ? "" : "." + scope);
        const VerilatedScope* found = context.scopeFind(path.c_str());
        VerilatedVar* variable = found ? found->varFind(name.c_str()) : nullptr;
        if (!variable) throw std::runtime_error("the model has no public signal " + path + "." + name);
        return {static_cast<uint8_t*>(variable->datap()), variable->entSize(), variable->totalSize()};
    }

    void open_trace(const char* path) {
#if VM_TRACE
        trace = std::make_unique<TraceFile>();
        top->trace(trace.get(), 99);
        trace->open(path);
        if (!trace->isOpen()) throw std::runtime_error(std::string("cannot write ") + path);
#else
        (void)path;
        throw std::runtime_error("this model was built without traces");
#endif
    }

    void close_trace() {
#if VM_TRACE
        if (trace) trace->close();
        trace.reset();
#endif
    }

    VerilatedContext context;
    std::unique_ptr<Vfides_soc> top;
    uint64_t cycles = 0;  // since reset was released

private:
#if VM_TRACE
    std::unique_ptr<TraceFile> trace;
    void dump(uint64_t time) {
        if (trace) trace->dump(time);
    }
#else
    void dump(uint64_t) {}
#endif
};
