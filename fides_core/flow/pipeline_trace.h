// Pipeline traces: the text log of the Konata viewer, format "Kanata 0004". Lines are separated by tabs: "C"
// moves time on, "I" introduces an instruction, "L" adds to its label (0) or to what is shown when pointed at
// (1), "S" starts a stage, "R" ends the instruction: retired (0) or flushed (1).
#pragma once

#include <cerrno>
#include <cstdio>
#include <string>
#include <unordered_map>
#include <utility>

#include "soc_model.h"

class PipelineTrace {
public:
    // Writes the instruction's text, with the zero at its end, to `buffer`.
    using Disassembler = void (*)(uint32_t word, char* buffer, size_t bytes);

    // What the core says of a cycle, in the order in which Python names it. "valid": the stage holds an
    // instruction; "done": it moves on at the end of the cycle, unless the next stage does not hold it then.
    // "MTrap": the instruction in the memory stage traps; with "MDone": the one in writeback does.
    enum Name { kFPc, kFDone, kFRedirect, kDValid, kDInsn, kDDone, kXValid, kXDone, kMDone, kMTrap, kNames };

    // `names` holds kNames pairs of scope and variable. Throws when one is not public or the file cannot be
    // written.
    PipelineTrace(SocModel& soc, const char* path, const char* const* names, Disassembler disassembler)
        : disassembler_(disassembler) {
        for (PublicVariable& signal : signals_) {
            signal = soc.find(names[0], names[1]);
            names += 2;
        }
        file_ = fopen(path, "w");
        if (!file_) throw std::runtime_error(std::string("cannot write ") + path + ": " + strerror(errno));
        fputs("Kanata\t0004\nC=\t0\n", file_);
    }
    PipelineTrace(const PipelineTrace&) = delete;
    ~PipelineTrace() {
        if (file_) fclose(file_);
    }

    // Once a cycle, before its clock edge.
    void step() {
        bool now[kNames];
        for (int i = 0; i < kNames; i++) now[i] = signals_[i].value() != 0;
        // What the last edge did, from the oldest instruction to the youngest.
        retire_and_write_back();
        if (last_[kXDone]) {
            enter(m_, x_, "M");
        } else if (x_ >= 0 && (last_[kDDone] || !now[kXValid])) {
            flush(x_);
        }
        if (last_[kDDone] && now[kXValid]) {
            enter(x_, d_, "X");
        } else if (d_ >= 0 && (last_[kDDone] || !now[kDValid])) {
            flush(d_);
        }
        if (last_[kFDone] && now[kDValid]) {
            enter(d_, f_, "D");
            label(d_, signals_[kDInsn].value());
        } else if (f_ >= 0 && (last_[kFDone] || last_[kFRedirect])) {
            flush(f_);
        }
        if (f_ < 0) {
            f_ = next_++;
            out("I\t%lld\t%lld\t0\n", f_, f_);
            out("L\t%lld\t0\t%08llx: \n", f_, static_cast<long long>(signals_[kFPc].value()));
            out("S\t%lld\t0\tF\n", f_);
        }
        memcpy(last_, now, sizeof now);
        cycles_++;
    }

    // Completes the file: what has retired so far ends, what is on its way stays unfinished. Whether
    // everything could be written.
    bool finish() {
        retire_and_write_back();
        cycles_++;
        if (w_ >= 0) retire();
        const bool failed = ferror(file_);
        return !(fclose(std::exchange(file_, nullptr)) || failed);
    }

private:
    template <typename... Arguments>
    void out(const char* format, Arguments... arguments) {
        if (cycles_) fprintf(file_, "C\t%llu\n", std::exchange(cycles_, 0));
        fprintf(file_, format, arguments...);
    }

    void retire() {
        out("R\t%lld\t%lld\t0\n", w_, retired_++);
        w_ = -1;
    }

    void retire_and_write_back() {
        if (last_[kMTrap] && last_[kMDone]) {
            trap(w_);
            if (m_ >= 0) flush(m_);
            return;
        }
        if (w_ >= 0) retire();
        if (last_[kMDone]) enter(w_, m_, "W");
        if (last_[kMTrap]) trap(m_);
    }

    void trap(long long& stage) {
        out("L\t%lld\t1\ttrap\n", stage);
        flush(stage);
    }

    void enter(long long& stage, long long& before, const char* name) {
        stage = std::exchange(before, -1);
        out("S\t%lld\t0\t%s\n", stage, name);
    }

    void flush(long long& stage) {
        out("R\t%lld\t%lld\t1\n", stage, retired_);
        stage = -1;
    }

    void label(long long instruction, uint32_t word) {
        auto found = texts_.find(word);
        if (found == texts_.end()) {
            char text[100];
            disassembler_(word, text, sizeof text);
            found = texts_.emplace(word, text).first;
        }
        out("L\t%lld\t0\t%s\n", instruction, found->second.c_str());
    }

    PublicVariable signals_[kNames];
    Disassembler disassembler_;
    FILE* file_ = nullptr;
    std::unordered_map<uint32_t, std::string> texts_;
    bool last_[kNames] = {};  // the signals of the cycle before
    unsigned long long cycles_ = 0;  // passed since the last line
    long long next_ = 0, retired_ = 0;
    long long f_ = -1, d_ = -1, x_ = -1, m_ = -1, w_ = -1;  // the instruction in each stage, or -1
};
