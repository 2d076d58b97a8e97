// The loop of the fast simulation: clock, serial line, exit device; called from Python through the functions
// at the end.

#include "pipeline_trace.h"
#include "soc_model.h"

#include <algorithm>
#include <cstdio>
#include <deque>
#include <vector>

namespace {

// Serial line format: a start bit, 8 data bits from the least significant, a stop bit; 16 * divisor clocks a
// bit.
constexpr int kClocksPerDivisor = 16;
constexpr int kFrameBits = 10;
constexpr uint64_t kMainMemory = 0x80000000;

// Decodes what the UART sends.
class SerialReceiver {
public:
    // Returns true in the cycle in which a character is complete.
    bool step(bool line, uint64_t divisor) {
        if (bit_ < 0) {
            if (line) {
                idle_cycles++;
                return false;
            }
            bit_ = 0;
            period_ = kClocksPerDivisor * (divisor ? divisor : 1);
            countdown_ = period_ / 2;
            idle_cycles = 0;
        }
        if (--countdown_) return false;
        countdown_ = period_;
        const int bit = bit_++;
        if (bit == 0) {
            if (line) bit_ = -1;  // a glitch, not a start bit
            return false;
        }
        if (bit <= 8) {
            character = static_cast<uint8_t>(character >> 1 | line << 7);
            return false;
        }
        bit_ = -1;
        if (!line) framing_errors++;
        return line;
    }

    uint8_t character = 0;
    uint64_t idle_cycles = 0;
    uint64_t framing_errors = 0;

private:
    int bit_ = -1;
    uint64_t period_ = 1, countdown_ = 0;
};

// Sends characters to the UART, each when the one before it was taken out of the receive buffer or, not
// `paced`, back to back.
class SerialSender {
public:
    // The level of the line in this cycle.
    bool step(bool buffer_empty, uint64_t divisor) {
        if (countdown_ && --countdown_) return level_;
        if (!bits_left_) {
            level_ = true;
            if (queue.empty() || (paced && !buffer_empty)) return level_;
            // Paced: one bit of silence after the stop bit: by then the receive buffer's flag tells of this
            // character.
            frame_ = 0x600 | queue.front() << 1;
            bits_left_ = kFrameBits + paced;
            queue.pop_front();
        }
        level_ = frame_ & 1;
        frame_ >>= 1;
        bits_left_--;
        countdown_ = kClocksPerDivisor * (divisor ? divisor : 1);
        return level_;
    }

    bool active() const { return countdown_ || !queue.empty(); }

    std::deque<uint8_t> queue;
    bool paced = true;

private:
    bool level_ = true;
    unsigned frame_ = 0, bits_left_ = 0;
    uint64_t countdown_ = 0;
};

enum class Event : int { kLimit = 0, kExit = 1, kOutput = 2, kViolation = 3, kError = -1 };

struct Simulation {
    SocModel soc;
    PublicVariable memory, retire, pc, divisor, receive_not_empty;
    SerialReceiver receiver;
    SerialSender sender;
    std::string output;  // characters received and not fetched yet
    std::string error;
    uint64_t instructions = 0;
    std::unique_ptr<PipelineTrace> pipeline;
    std::vector<uint64_t> executed;  // by halfword of the main memory; empty: not counted

    void count_instruction() {
        const uint64_t at = (pc.value() - kMainMemory) / 2;
        if (at < executed.size()) executed[at]++;
    }

    Event run(uint64_t count) {
        Vfides_soc& top = *soc.top;
        while (count--) {
            if (sender.active()) top.uart_rx = sender.step(!receive_not_empty.value(), divisor.value());
            instructions += *retire.data;  // the value before the edge: this cycle's
            if (!executed.empty() && *retire.data) count_instruction();
            if (pipeline) pipeline->step();
            soc.clock();
            const bool received = receiver.step(top.uart_tx, divisor.value());
            if (received) output.push_back(static_cast<char>(receiver.character));
            if (top.axi_violation) return Event::kViolation;
            if (top.exit_valid) return Event::kExit;
            if (received && receiver.character == '\n') return Event::kOutput;
        }
        return Event::kLimit;
    }

    // After the exit: let the UART send what it has buffered, as long as the line does not fall silent.
    void drain(uint64_t limit) {
        const uint64_t silence = 2 * kFrameBits * kClocksPerDivisor * (divisor.value() ? divisor.value() : 1);
        while (limit-- && receiver.idle_cycles < silence) {
            soc.clock();
            const bool received = receiver.step(soc.top->uart_tx, divisor.value());
            if (received) output.push_back(static_cast<char>(receiver.character));
        }
    }
};

}  // namespace

// All functions may be called from one thread at a time for one simulation. Those that can fail return -1 or
// a null pointer and leave a message for sim_error().
extern "C" {

// Names are given as scope and variable, in pairs, in the order of the members of Simulation.
Simulation* sim_new(const char* const* names, char* error, size_t error_bytes) {
    try {
        auto simulation = std::make_unique<Simulation>();
        PublicVariable* const variables[] = {&simulation->memory, &simulation->retire, &simulation->pc,
                                             &simulation->divisor, &simulation->receive_not_empty};
        for (PublicVariable* variable : variables) {
            *variable = simulation->soc.find(names[0], names[1]);
            names += 2;
        }
        return simulation.release();
    } catch (const std::exception& exception) {
        snprintf(error, error_bytes, "%s", exception.what());
        return nullptr;
    }
}

void sim_delete(Simulation* simulation) { delete simulation; }

const char* sim_error(Simulation* simulation) { return simulation->error.c_str(); }

uint64_t sim_memory_bytes(Simulation* simulation) { return simulation->memory.total_bytes; }

int sim_write(Simulation* simulation, uint64_t offset, const void* bytes, uint64_t count) {
    if (offset > simulation->memory.total_bytes || count > simulation->memory.total_bytes - offset) {
        simulation->error = "write outside the main memory";
        return -1;
    }
    memcpy(simulation->memory.data + offset, bytes, count);
    return 0;
}

int sim_read(Simulation* simulation, uint64_t offset, void* bytes, uint64_t count) {
    if (offset > simulation->memory.total_bytes || count > simulation->memory.total_bytes - offset) {
        simulation->error = "read outside the main memory";
        return -1;
    }
    memcpy(bytes, simulation->memory.data + offset, count);
    return 0;
}

int sim_trace(Simulation* simulation, const char* path) {
    try {
        simulation->soc.open_trace(path);
        return 0;
    } catch (const std::exception& exception) {
        simulation->error = exception.what();
        return -1;
    }
}

// Names as for sim_new, in the order of PipelineTrace::Name.
int sim_pipeline(Simulation* simulation, const char* path, const char* const* names,
                 PipelineTrace::Disassembler disassembler) {
    try {
        simulation->pipeline = std::make_unique<PipelineTrace>(simulation->soc, path, names, disassembler);
        return 0;
    } catch (const std::exception& exception) {
        simulation->error = exception.what();
        return -1;
    }
}

// Completes the pipeline trace, if there is one.
int sim_end_pipeline(Simulation* simulation) {
    const bool complete = !simulation->pipeline || simulation->pipeline->finish();
    simulation->pipeline.reset();
    if (!complete) simulation->error = "cannot write the pipeline trace: the disk may be full";
    return complete ? 0 : -1;
}

// From now on, count how often the instruction at each address of the main memory is retired.
void sim_count_executed(Simulation* simulation) {
    simulation->executed.assign(simulation->memory.total_bytes / 2, 0);
}

// The counts, a halfword of the main memory each.
void sim_executed(Simulation* simulation, uint64_t* counts) {
    std::copy(simulation->executed.begin(), simulation->executed.end(), counts);
}

int sim_run(Simulation* simulation, uint64_t cycles) { return static_cast<int>(simulation->run(cycles)); }

void sim_drain(Simulation* simulation, uint64_t cycles) { simulation->drain(cycles); }

void sim_send(Simulation* simulation, const uint8_t* bytes, uint64_t count) {
    simulation->sender.queue.insert(simulation->sender.queue.end(), bytes, bytes + count);
}

void sim_send_back_to_back(Simulation* simulation) { simulation->sender.paced = false; }

void sim_external_interrupt(Simulation* simulation, int level) {
    simulation->soc.top->external_interrupt = level != 0;
}

uint64_t sim_cycles(Simulation* simulation) { return simulation->soc.cycles; }
uint64_t sim_instructions(Simulation* simulation) { return simulation->instructions; }
uint64_t sim_pc(Simulation* simulation) { return simulation->pc.value(); }
uint32_t sim_exit_code(Simulation* simulation) { return simulation->soc.top->exit_code; }
uint32_t sim_axi_violation(Simulation* simulation) { return simulation->soc.top->axi_violation; }
uint64_t sim_framing_errors(Simulation* simulation) { return simulation->receiver.framing_errors; }

// Moves up to `count` received characters to `bytes`; returns how many.
uint64_t sim_output(Simulation* simulation, char* bytes, uint64_t count) {
    const size_t moved = std::min<size_t>(count, simulation->output.size());
    memcpy(bytes, simulation->output.data(), moved);
    simulation->output.erase(0, moved);
    return moved;
}

}  // extern "C"
