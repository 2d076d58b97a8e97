// The checks of a function: which accesses want one, and where they go.
#include "checks.h"

namespace fides {

using namespace llvm;

/// The largest extent in bytes that one instruction checks.
static constexpr uint64_t Largest = 16;
/// Longer than any object: a check of so many bytes fails.
static constexpr uint64_t TooLong = 1 << 25;

namespace {

class Inserter {
public:
  Inserter(Analyses &A, std::vector<Request> &Requests, Report &R) : A(A), Requests(Requests), R(R) {}

  void insert(const std::vector<std::optional<Interval>> &Covered) {
    for (size_t Number = 0; Number < Requests.size(); ++Number)
      if (Requests[Number].Needed)
        check(Requests[Number], Number < Covered.size() ? Covered[Number] : std::nullopt);
    useResults();
  }

private:
  void check(const Request &Q, std::optional<Interval> Covered) {
    IRBuilder<> B(Q.Before);
    uint64_t Bytes = static_cast<uint64_t>(Q.Extent.High - Q.Extent.Low);
    uint64_t Part = std::min(Largest, bit_floor(Bytes));
    Value *Start = nullptr;
    if (!Covered || Q.Extent.Low < Covered->Low)
      Start = one(Q, Q.Extent.Low, Part, Start, Q.Extent.Low, B);
    int64_t End = Q.Extent.High - static_cast<int64_t>(Part);
    if (Covered ? Covered->High < Q.Extent.High : Part != Bytes)
      one(Q, End, Part, Start, Q.Extent.Low, B);
  }

  /// Checks `Bytes` at `At`. `Start`: the pointer to the key's address + `StartAt`, when there is one already.
  Value *one(const Request &Q, int64_t At, uint64_t Bytes, Value *Start, int64_t StartAt, IRBuilder<> &B) {
    Instructions I(B);
    R.count("checks.inserted");
    if (Start && fitsImmediate(At - StartAt)) {
      I.vali(Start, At - StartAt, Bytes);
      return nullptr;
    }
    if (Q.At.Terms.empty() && fitsImmediate(At)) {
      I.vali(Q.At.Base, At, Bytes);
      return nullptr;
    }
    CallInst *Pointer = I.val(Q.At.Base, offsetOf(Q.At, At, B), Bytes);
    Results[Q.Key].push_back({Pointer, At});
    return Pointer;
  }

  /// What val has computed need not be computed again for the access.
  void useResults() {
    for (Request &Q : Requests) {
      auto Found = Results.find(Q.Key);
      if (!Q.Of || Found == Results.end())
        continue;
      for (auto &[Pointer, At] : reverse(Found->second))
        if (A.DT.dominates(Pointer, Q.Of->User)) {
          useResult(Q, Pointer, At);
          break;
        }
    }
  }

  void useResult(const Request &Q, CallInst *Pointer, int64_t At) {
    Value *Old = Q.Of->pointer();
    if (Old == Pointer || isa<Constant>(Old))
      return;
    Value *New = Pointer;
    if (Q.At.Constant != At) {
      IRBuilder<> B(Pointer->getNextNode());
      New = B.CreatePtrAdd(Pointer, B.getInt64(static_cast<uint64_t>(Q.At.Constant - At)));
    }
    auto *Made = cast<Instruction>(New);
    Old->replaceUsesWithIf(New, [&](Use &U) { return U.getUser() != New && A.DT.dominates(Made, U); });
  }

  Analyses &A;
  std::vector<Request> &Requests;
  Report &R;
  DenseMap<unsigned, SmallVector<std::pair<CallInst *, int64_t>, 2>> Results;
};

} // namespace

static std::vector<Request> collect(Function &F, Analyses &A, Keys &Known, Report &R) {
  std::vector<Request> Found;
  for (BasicBlock &Block : F) {
    if (!A.DT.isReachableFromEntry(&Block))
      continue;
    for (Instruction &I : Block)
      for (const Access &Of : accessesOf(I, A.DL)) {
        R.count("accesses.all");
        if (isPlainAddress(rootOf(Of.pointer())))
          continue; // by tagObjects: proven
        Request Q{&I, Of, takeApart(Of.pointer(), A.DL, A.LI, &Block), 0, {0, 0}};
        Q.Key = Known.number(Q.At);
        Q.Extent.Low = Q.At.Constant;
        Q.Extent.High = Q.At.Constant + static_cast<int64_t>(std::min(Of.Bytes, TooLong));
        Found.push_back(Q);
        R.count("accesses.to_check");
      }
  }
  return Found;
}

/// A base that far from its object would make sums of offsets ambiguous: such an access keeps its own pointer.
static void keepFarOnesApart(std::vector<Request> &Requests, Keys &Known) {
  for (Request &Q : Requests)
    if (Q.At.Constant <= -MaxDistance || Q.At.Constant >= MaxDistance) {
      Q.At = {Q.Of->pointer(), {}, 0};
      Q.Key = Known.number(Q.At);
      Q.Extent = {0, Q.Extent.High - Q.Extent.Low};
    }
}

void insertChecks(Function &F, FunctionAnalysisManager &FAM, SmallVectorImpl<CheckedPointer> &Checked, Report &R) {
  Analyses A(F, FAM);
  Keys Known;
  std::vector<Request> Requests = collect(F, A, Known, R);
  keepFarOnesApart(Requests, Known);
  hoistFromLoops(F, A, Known, Requests, Checked, R);
  std::vector<std::optional<Interval>> Covered;
  removeRedundant(F, Known, Requests, Covered, R);
  for (const Request &Q : Requests) {
    if (Q.Of)
      Checked.push_back({Q.Of->pointer(), Q.Before});
    if (Q.At.Terms.empty())
      Checked.push_back({Q.At.Base, Q.Before});
  }
  Inserter(A, Requests, R).insert(Covered);
}

} // namespace fides
