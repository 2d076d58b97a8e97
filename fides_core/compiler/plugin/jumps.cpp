// setjmp: which handlers of the function are armed, and taking them away when it leaves.
//
// The step that adds landing pads turns `call __fides_setjmp` into: unless a1 says that this site's handler is armed,
// arm it; call; handler pad, which takes handlers away up to this one; arm it again.
#include "pass.h"

namespace fides {

using namespace llvm;

static bool isSetjmp(const CallBase &Call) {
  const Function *Callee = Call.getCalledFunction();
  return Callee && (Callee->getName() == "setjmp" || Callee->getName() == "_setjmp");
}

namespace {

/// The handlers of a function are a stack: `Depth` of them are armed, the one of site S at `Position[S]`.
class Handlers {
public:
  Handlers(Function &F, ArrayRef<CallInst *> Sites) : F(F), Sites(Sites) {
    IRBuilder<> B(&*F.getEntryBlock().getFirstNonPHIOrDbgOrAlloca());
    Word = B.getInt64Ty();
    Depth = variable(B, 0);
    for ([[maybe_unused]] CallInst *Site : Sites)
      Position.push_back(variable(B, Unarmed));
    Slots = B.CreateCall(runtime("__fides_jump_mark", Word, {}));
  }

  void rewrite() {
    for (unsigned Site = 0; Site < Sites.size(); ++Site)
      rewriteSite(Site);
    for (BasicBlock &Block : F)
      if (auto *Return = dyn_cast<ReturnInst>(Block.getTerminator()))
        Returns.push_back(Return);
    for (ReturnInst *Return : Returns)
      leave(Return);
  }

private:
  static constexpr uint64_t Unarmed = UINT64_MAX;

  FunctionCallee runtime(StringRef Name, Type *Result, ArrayRef<Type *> Parameters) {
    return F.getParent()->getOrInsertFunction(Name, FunctionType::get(Result, Parameters, false));
  }

  AllocaInst *variable(IRBuilder<> &B, uint64_t Value) {
    IRBuilder<> Front(&F.getEntryBlock(), F.getEntryBlock().begin());
    AllocaInst *Local = Front.CreateAlloca(Word);
    store(B, B.getInt64(Value), Local);
    return Local;
  }

  // Volatile: setjmp returns again with the registers of its first return.
  void store(IRBuilder<> &B, Value *V, AllocaInst *Local) { B.CreateStore(V, Local, true); }
  Value *load(IRBuilder<> &B, AllocaInst *Local) { return B.CreateLoad(Word, Local, true); }

  void rewriteSite(unsigned Site) {
    CallInst *Call = Sites[Site];
    IRBuilder<> B(Call);
    Value *At = load(B, Position[Site]), *Old = load(B, Depth);
    Value *Armed = B.CreateICmpNE(At, B.getInt64(Unarmed));
    // Handlers above it are gone after the pad, whichever way it was reached.
    Value *Now = B.CreateSelect(Armed, At, Old);
    store(B, Now, Position[Site]);
    Type *Parameters[] = {B.getPtrTy(), Word};
    CallInst *New = B.CreateCall(runtime("__fides_setjmp", Call->getType(), Parameters),
                                 {Call->getArgOperand(0), B.CreateZExt(Armed, Word)});
    New->addFnAttr(Attribute::ReturnsTwice);
    New->setTailCallKind(CallInst::TCK_NoTail);
    New->setDebugLoc(Call->getDebugLoc());
    if (auto *Callee = dyn_cast<Function>(New->getCalledOperand()))
      Callee->addFnAttr(Attribute::ReturnsTwice);
    Value *Mine = load(B, Position[Site]);
    store(B, B.CreateAdd(Mine, B.getInt64(1)), Depth);
    for (unsigned Other = 0; Other < Sites.size(); ++Other)
      if (Other != Site) {
        Value *Theirs = load(B, Position[Other]);
        Value *Gone = B.CreateICmpUGE(Theirs, Mine);
        store(B, B.CreateSelect(Gone, B.getInt64(Unarmed), Theirs), Position[Other]);
      }
    Call->replaceAllUsesWith(New);
    Call->eraseFromParent();
  }

  void leave(ReturnInst *Return) {
    Instruction *Point = Return;
    if (CallInst *Last = Return->getParent()->getTerminatingMustTailCall())
      Point = Last;
    IRBuilder<> B(Point);
    B.CreateCall(runtime("__fides_jump_release", B.getVoidTy(), {Word}), {Slots});
    for (unsigned Left = Sites.size(); Left > 0; --Left) {
      B.SetInsertPoint(Point);
      Value *Some = B.CreateICmpUGE(load(B, Depth), B.getInt64(Left));
      BasicBlock *Head = Point->getParent(), *Tail = Head->splitBasicBlock(Point);
      auto *Take = BasicBlock::Create(F.getContext(), "", &F, Tail);
      Head->getTerminator()->eraseFromParent();
      IRBuilder<>(Head).CreateCondBr(Some, Take, Tail);
      IRBuilder<> In(Take);
      Instructions(In).disarm();
      In.CreateBr(Tail);
    }
  }

  Function &F;
  ArrayRef<CallInst *> Sites;
  Type *Word;
  AllocaInst *Depth;
  SmallVector<AllocaInst *, 2> Position;
  SmallVector<ReturnInst *> Returns;
  Value *Slots;
};

} // namespace

void countHandlers(Function &F, Report &R) {
  SmallVector<CallInst *> Sites;
  for (BasicBlock &Block : F)
    for (Instruction &I : Block)
      if (auto *Call = dyn_cast<CallInst>(&I); Call && isSetjmp(*Call))
        Sites.push_back(Call);
  if (Sites.empty())
    return;
  Handlers(F, Sites).rewrite();
  R.count("handlers.setjmp", Sites.size());
}

} // namespace fides
