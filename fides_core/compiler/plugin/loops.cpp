// Checks moved out of loops: those of the same address in every round, and those of an address that moves in equal steps
// through a number of rounds that is known before the loop. Then the first and the last address stand for all.
#include "checks.h"

#include "llvm/Analysis/MustExecute.h"
#include "llvm/Analysis/ScalarEvolutionExpressions.h"
#include "llvm/Transforms/Utils/ScalarEvolutionExpander.h"

namespace fides {

using namespace llvm;

/// What a preheader may compute for a range check, in instructions that LLVM counts as cheap.
static constexpr unsigned Budget = 4;
/// More rounds of at least one byte than any object has bytes.
static constexpr uint64_t ObjectLimit = 1 << 24;

namespace {

struct LoopFacts {
  bool Frees = false;
  SimpleLoopSafetyInfo Safety;
};

class Hoist {
public:
  Hoist(Function &F, Analyses &A, Keys &Known, std::vector<Request> &Requests, SmallVectorImpl<CheckedPointer> &Checked,
        Report &R)
      : A(A), Known(Known), Requests(Requests), Checked(Checked), R(R), Expander(A.SE, A.DL, "fides") {
    for (Loop *L : A.LI.getLoopsInPreorder()) {
      auto &Facts = Loops[L];
      Facts = std::make_unique<LoopFacts>();
      Facts->Safety.computeLoopSafetyInfo(L);
      for (BasicBlock *Block : L->blocks())
        Facts->Frees |= any_of(*Block, mayFree);
    }
  }

  void run() {
    for (size_t Number = 0; Number < Requests.size(); ++Number) // grows
      if (Loop *L = A.LI.getLoopFor(Requests[Number].Before->getParent()))
        if (L->getLoopPreheader() && !invariant(Number, L))
          affine(Number, L);
  }

private:
  bool available(Value *V, Loop *L) { return !isa<Instruction>(V) || !L->contains(cast<Instruction>(V)); }

  /// Whether nothing in the loop can make the check before the loop say something else, and it would come in any case.
  bool mayMove(const Request &Q, Loop *L) {
    LoopFacts &Facts = *Loops[L];
    return (!Facts.Frees || Known.isPermanent(Q.Key)) && Facts.Safety.isGuaranteedToExecute(*Q.Before, &A.DT, L);
  }

  /// The same address every time: a request before the loop covers the one inside.
  bool invariant(size_t Number, Loop *L) {
    const Request Q = Requests[Number];
    if (!available(Q.At.Base, L) || !all_of(Q.At.Terms, [&](auto &Term) { return available(Term.first, L); }))
      return false;
    if (!mayMove(Q, L))
      return true;
    Instruction *Before = L->getLoopPreheader()->getTerminator();
    if (!Before->getFunction() || !dominatesAll(Q, Before))
      return true;
    Request New = Q;
    New.Before = Before;
    New.Of = std::nullopt;
    Requests.push_back(New);
    R.count("loops.invariant_checks_hoisted");
    return true;
  }

  bool dominatesAll(const Request &Q, Instruction *Before) {
    return A.DT.dominates(Q.At.Base, Before) &&
           all_of(Q.At.Terms, [&](auto &Term) { return A.DT.dominates(Term.first, Before); });
  }

  void affine(size_t Number, Loop *L) {
    Request &Q = Requests[Number];
    if (!Q.Of || !A.SE.isSCEVable(Q.Of->pointer()->getType()))
      return;
    BasicBlock *Latch = L->getLoopLatch();
    if (!Latch || L->getExitingBlock() != Latch || !A.DT.dominates(Q.Before->getParent(), Latch) || !mayMove(Q, L) ||
        Loops[L]->Safety.anyBlockMayThrow())
      return;
    auto *Moving = dyn_cast<SCEVAddRecExpr>(A.SE.getSCEV(Q.Of->pointer()));
    if (!Moving || Moving->getLoop() != L || !Moving->isAffine())
      return;
    auto *Step = dyn_cast<SCEVConstant>(Moving->getStepRecurrence(A.SE));
    auto *Base = dyn_cast<SCEVUnknown>(A.SE.getPointerBase(Moving));
    const SCEV *Rounds = A.SE.getBackedgeTakenCount(L);
    if (!Step || !Base || isa<SCEVCouldNotCompute>(Rounds))
      return;
    rangeCheck(Q, L, *Moving, Step->getAPInt().getSExtValue(), *Base, Rounds);
  }

  void rangeCheck(Request &Q, Loop *L, const SCEVAddRecExpr &Moving, int64_t Step, const SCEVUnknown &Base,
                  const SCEV *Rounds) {
    int64_t Stride = Step < 0 ? -Step : Step;
    uint64_t Bytes = Q.Of->Bytes;
    Instruction *Before = L->getLoopPreheader()->getTerminator();
    Value *Object = Base.getValue();
    if (Stride <= 0 || Stride >= static_cast<int64_t>(ObjectLimit) || !isPowerOf2_64(Bytes) || Bytes > 16 ||
        !A.DT.dominates(Object, Before))
      return;
    const SCEV *First = A.SE.getMinusSCEV(Moving.getStart(), &Base);
    if (isa<SCEVCouldNotCompute>(First) || !First->getType()->isIntegerTy())
      return;
    Type *Word = Type::getInt64Ty(Before->getContext());
    if (A.SE.getTypeSizeInBits(Rounds->getType()) > 64)
      return;
    const SCEV *Count = A.SE.getNoopOrZeroExtend(Rounds, Word);
    // A number of rounds that leaves every object must not wrap round to a small distance.
    uint64_t Most = ObjectLimit / static_cast<uint64_t>(Stride) + 1;
    if (A.SE.getUnsignedRangeMax(Count).ugt(Most))
      Count = A.SE.getUMinExpr(Count, A.SE.getConstant(Word, Most));
    const SCEV *Distance = A.SE.getMulExpr(Count, A.SE.getConstant(Word, static_cast<uint64_t>(Step), true));
    const SCEV *Last = A.SE.getAddExpr(First, Distance);
    const SCEV *Both[] = {First, Last};
    for (const SCEV *One : Both)
      if (!Expander.isSafeToExpandAt(One, Before))
        return;
    if (Expander.isHighCostExpansion({First, Last}, L, Budget, &A.TTI, Before))
      return;
    bool Single = First == Last;
    for (const SCEV *One : ArrayRef(Both).take_front(Single ? 1 : 2)) {
      Value *Offset = Expander.expandCodeFor(One, Word, Before);
      IRBuilder<> B(Before);
      B.SetCurrentDebugLocation(Q.Before->getDebugLoc());
      auto *Constant = dyn_cast<ConstantInt>(Offset);
      Instructions I(B);
      if (Constant && fitsImmediate(Constant->getSExtValue()))
        I.vali(Object, Constant->getSExtValue(), Bytes);
      else
        I.val(Object, Offset, Bytes);
      R.count("checks.inserted");
      R.count("checks.inserted_before_loops");
    }
    Q.Needed = false;
    // With an offset of any size the object's pointer itself may be anywhere.
    if (auto *Constant = dyn_cast<SCEVConstant>(First); Constant && Constant->getAPInt().abs().ult(MaxDistance))
      Checked.push_back({Object, Before});
    R.count("checks.removed_by_loop_range");
  }

  Analyses &A;
  Keys &Known;
  std::vector<Request> &Requests;
  SmallVectorImpl<CheckedPointer> &Checked;
  Report &R;
  SCEVExpander Expander;
  DenseMap<Loop *, std::unique_ptr<LoopFacts>> Loops;
};

} // namespace

void hoistFromLoops(Function &F, Analyses &A, Keys &Known, std::vector<Request> &Requests,
                    SmallVectorImpl<CheckedPointer> &Checked, Report &R) {
  Hoist(F, A, Known, Requests, Checked, R).run();
}

} // namespace fides
