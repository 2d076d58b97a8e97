// Pointers taken apart into base and offset, and what an instruction accesses through them.
#include "pass.h"

#include "llvm/IR/InlineAsm.h"

namespace fides {

using namespace llvm;

/// Whether the arithmetic of `GEP` should stay what it is: it is done once for many, or outside of the user's loop.
static bool staysApart(GEPOperator &GEP, LoopInfo &LI, BasicBlock *User) {
  auto *I = dyn_cast<GetElementPtrInst>(&GEP);
  if (!I || I->hasAllConstantIndices())
    return false;
  if (LI.getLoopDepth(I->getParent()) < LI.getLoopDepth(User))
    return true;
  return I->getParent() != User && !I->hasOneUse();
}

Address takeApart(Value *Pointer, const DataLayout &DL, LoopInfo &LI, BasicBlock *User) {
  Address At{Pointer, {}, 0};
  while (auto *GEP = dyn_cast<GEPOperator>(At.Base)) {
    if (staysApart(*GEP, LI, User))
      break;
    MapVector<Value *, APInt> Terms;
    APInt Constant(64, 0);
    if (!GEP->collectOffset(DL, 64, Terms, Constant) || At.Terms.size() + Terms.size() > 4)
      break;
    // In the order from the base on, so that equal arithmetic looks equal.
    SmallVector<std::pair<Value *, int64_t>, 2> All;
    for (auto &[Index, Scale] : Terms)
      All.emplace_back(Index, Scale.getSExtValue());
    All.append(At.Terms);
    At.Terms = All;
    At.Constant = static_cast<int64_t>(static_cast<uint64_t>(At.Constant) + Constant.getZExtValue());
    At.Base = GEP->getPointerOperand();
  }
  return At;
}

Value *offsetOf(const Address &At, int64_t Constant, IRBuilder<> &B) {
  Value *Sum = nullptr;
  for (auto &[Index, Scale] : At.Terms) {
    Value *Wide = B.CreateSExtOrTrunc(Index, B.getInt64Ty());
    uint64_t Factor = static_cast<uint64_t>(Scale);
    Value *Scaled = Wide;
    if (isPowerOf2_64(Factor) && Factor != 1)
      Scaled = B.CreateShl(Wide, Log2_64(Factor));
    else if (Factor != 1)
      Scaled = B.CreateMul(Wide, B.getInt64(Factor));
    Sum = Sum ? B.CreateAdd(Sum, Scaled) : Scaled;
  }
  Value *Displacement = B.getInt64(static_cast<uint64_t>(Constant));
  if (!Sum)
    return Displacement;
  return Constant ? B.CreateAdd(Sum, Displacement) : Sum;
}

/// Memory operands of inline assembly, which are addresses of a known type.
static void assemblyAccesses(CallBase &Call, const DataLayout &DL, SmallVectorImpl<Access> &Found) {
  auto *Asm = cast<InlineAsm>(Call.getCalledOperand());
  unsigned Number = 0;
  for (const InlineAsm::ConstraintInfo &Constraint : Asm->ParseConstraints()) {
    if (!Constraint.hasArg())
      continue;
    if (Constraint.isIndirect)
      if (Type *Element = Call.getParamElementType(Number))
        Found.push_back({&Call, Number, DL.getTypeStoreSize(Element).getFixedValue()});
    ++Number;
  }
}

SmallVector<Access, 2> accessesOf(Instruction &I, const DataLayout &DL) {
  SmallVector<Access, 2> Found;
  auto Size = [&](Type *T) { return DL.getTypeStoreSize(T).getFixedValue(); };
  if (auto *Load = dyn_cast<LoadInst>(&I)) {
    Found.push_back({&I, 0, Size(Load->getType())});
  } else if (auto *Store = dyn_cast<StoreInst>(&I)) {
    Found.push_back({&I, 1, Size(Store->getValueOperand()->getType())});
  } else if (auto *Modify = dyn_cast<AtomicRMWInst>(&I)) {
    Found.push_back({&I, 0, Size(Modify->getValOperand()->getType())});
  } else if (auto *Exchange = dyn_cast<AtomicCmpXchgInst>(&I)) {
    Found.push_back({&I, 0, Size(Exchange->getNewValOperand()->getType())});
  } else if (auto *Memory = dyn_cast<AnyMemIntrinsic>(&I)) {
    if (auto *Length = dyn_cast<ConstantInt>(Memory->getLength())) {
      Found.push_back({&I, 0, Length->getZExtValue()});
      if (isa<AnyMemTransferInst>(Memory))
        Found.push_back({&I, 1, Length->getZExtValue()});
    }
  } else if (auto *Call = dyn_cast<CallBase>(&I); Call && Call->isInlineAsm() && !isOwn(I)) {
    assemblyAccesses(*Call, DL, Found);
  } else if (auto *Start = dyn_cast<IntrinsicInst>(&I)) {
    if (Start->getIntrinsicID() == Intrinsic::vastart || Start->getIntrinsicID() == Intrinsic::vacopy)
      Found.push_back({&I, 0, DL.getPointerSize()});
    if (Start->getIntrinsicID() == Intrinsic::vacopy)
      Found.push_back({&I, 1, DL.getPointerSize()});
  }
  erase_if(Found, [](const Access &At) { return At.Bytes == 0; });
  return Found;
}

} // namespace fides
