// Address arithmetic whose result is kept: a sum of 64 bits could run over into cookie and index, ptradd cannot.
#include "pass.h"

namespace fides {

using namespace llvm;

/// Objects lie in main memory, and farther than this from both ends of the 32-bit address space.
static constexpr int64_t Far = 1 << 30;

namespace {

class Guard {
public:
  Guard(Function &F, Analyses &A, ArrayRef<CheckedPointer> Checked, Report &R) : F(F), A(A), R(R) {
    for (const CheckedPointer &C : Checked)
      Places[C.Pointer].push_back(C.At);
  }

  void run() {
    SmallVector<GetElementPtrInst *> Work;
    for (BasicBlock &Block : F)
      for (Instruction &I : Block)
        if (auto *GEP = dyn_cast<GetElementPtrInst>(&I); GEP && isTagged(*GEP) && isKept(*GEP)) {
          if (hasNoCarry(*GEP))
            R.count("arithmetic.no_carry_possible");
          else
            Work.push_back(GEP);
        }
    for (GetElementPtrInst *GEP : Work)
      replace(GEP);
    R.count("arithmetic.ptradd", Work.size());
  }

private:
  static bool isTagged(GetElementPtrInst &GEP) {
    return !isPlainAddress(rootOf(&GEP)) && !GEP.getType()->isVectorTy();
  }

  /// Whether the value goes anywhere but into accesses and comparisons, which do without index and cookie.
  bool isKept(GetElementPtrInst &GEP) {
    if (auto Known = Kept.find(&GEP); Known != Kept.end())
      return Known->second;
    bool Found = any_of(GEP.uses(), [&](Use &U) {
      auto *I = cast<Instruction>(U.getUser());
      if (isa<ICmpInst>(I))
        return false;
      if (auto *Next = dyn_cast<GetElementPtrInst>(I); Next && U.getOperandNo() == 0)
        return isKept(*Next);
      return none_of(accessesOf(*I, A.DL), [&](const Access &At) { return At.Operand == U.getOperandNo(); });
    });
    Kept[&GEP] = Found;
    return Found;
  }

  bool hasNoCarry(GetElementPtrInst &GEP) {
    APInt Offset(64, 0);
    Value *Base = GEP.stripAndAccumulateConstantOffsets(A.DL, Offset, true);
    int64_t Distance = Offset.getSExtValue();
    if (Base == &GEP || Distance <= -Far || Distance >= Far)
      return false;
    if (Distance == 0 || objectBehind(Base) != Base)
      return true;
    if (auto *Call = dyn_cast<CallInst>(Base); Call && isOwn(*Call) && !Call->doesNotAccessMemory())
      return true; // checked or minted
    return isNear(Base, GEP, 3);
  }

  /// Whether at `Here` the pointer is known to be at most `Far` from a checked address, as seen through `Depth` phis.
  bool isNear(Value *Pointer, Instruction &Here, unsigned Depth) {
    if (auto Found = Places.find(Pointer); Found != Places.end())
      if (any_of(Found->second, [&](Instruction *At) { return At != &Here && A.DT.dominates(At, &Here); }))
        return true;
    auto *Phi = dyn_cast<PHINode>(Pointer);
    return Phi && Depth && all_of(Phi->operands(), [&](Use &U) {
             return isNear(U.get(), *Phi->getIncomingBlock(U)->getTerminator(), Depth - 1);
           });
  }

  void replace(GetElementPtrInst *GEP) {
    IRBuilder<> B(GEP);
    MapVector<Value *, APInt> Terms;
    APInt Constant(64, 0);
    cast<GEPOperator>(GEP)->collectOffset(A.DL, 64, Terms, Constant);
    Address At{GEP->getPointerOperand(), {}, 0};
    for (auto &[Index, Scale] : Terms)
      At.Terms.emplace_back(Index, Scale.getSExtValue());
    Value *Sum = Instructions(B).ptradd(At.Base, offsetOf(At, Constant.getSExtValue(), B));
    Sum->takeName(GEP);
    GEP->replaceAllUsesWith(Sum);
    GEP->eraseFromParent();
  }

  Function &F;
  Analyses &A;
  Report &R;
  DenseMap<Value *, SmallVector<Instruction *, 2>> Places;
  DenseMap<GetElementPtrInst *, bool> Kept;
};

} // namespace

void guardArithmetic(Function &F, FunctionAnalysisManager &FAM, ArrayRef<CheckedPointer> Checked, Report &R) {
  FAM.invalidate(F, PreservedAnalyses::none());
  Analyses A(F, FAM);
  Guard(F, A, Checked, R).run();
}

} // namespace fides
