// Locals and globals whose address gets away, or is indexed in ways that are not proven in bounds: fat pointers to them.
#include "pass.h"

#include "llvm/Analysis/ScalarEvolutionExpressions.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/Transforms/Utils/ModuleUtils.h"

namespace fides {

using namespace llvm;

/// Cells are loaded by a constant that later passes cannot look into; this names them.
static constexpr const char *CellPrefix = "__fides_cell.";
/// An argument list has no size that the callee could know: C's own limit of 127 arguments of at most 16 bytes.
static constexpr uint64_t ArgumentListBytes = 127 * 16;

Analyses::Analyses(Function &F, FunctionAnalysisManager &FAM)
    : DT(FAM.getResult<DominatorTreeAnalysis>(F)), LI(FAM.getResult<LoopAnalysis>(F)),
      SE(FAM.getResult<ScalarEvolutionAnalysis>(F)), TTI(FAM.getResult<TargetIRAnalysis>(F)),
      DL(F.getParent()->getDataLayout()) {}

/// The variable of the thread whose address `V` is.
static const GlobalVariable *threadLocal(const Value *V) {
  auto *Call = dyn_cast<IntrinsicInst>(V);
  if (!Call || Call->getIntrinsicID() != Intrinsic::threadlocal_address)
    return nullptr;
  return dyn_cast<GlobalVariable>(Call->getArgOperand(0));
}

bool isPlainAddress(const Value *V) { return isa<AllocaInst>(V) || isa<GlobalValue>(V) || threadLocal(V); }

std::optional<uint64_t> knownSize(const Value *Object, const DataLayout &DL) {
  TypeSize Size = TypeSize::getFixed(0);
  if (auto *Local = dyn_cast<AllocaInst>(Object)) {
    auto Allocated = Local->getAllocationSize(DL);
    if (!Local->isStaticAlloca() || !Allocated)
      return std::nullopt;
    Size = *Allocated;
  } else if (auto *Global = dyn_cast<GlobalVariable>(Object)) {
    if (!Global->getValueType()->isSized() || Global->hasExternalWeakLinkage())
      return std::nullopt;
    Size = DL.getTypeAllocSize(Global->getValueType());
  } else if (auto *Global = threadLocal(Object)) {
    Size = DL.getTypeAllocSize(Global->getValueType());
  } else {
    return std::nullopt;
  }
  if (Size.isScalable() || Size.getFixedValue() == 0)
    return std::nullopt;
  return Size.getFixedValue();
}

Value *rootOf(Value *Pointer) {
  while (auto *GEP = dyn_cast<GEPOperator>(Pointer))
    Pointer = GEP->getPointerOperand();
  return Pointer;
}

bool provenInBounds(Value *Pointer, uint64_t Bytes, Analyses &A) {
  Value *Root = rootOf(Pointer);
  auto Size = knownSize(Root, A.DL);
  if (!Size || Bytes > *Size)
    return false;
  APInt Offset(64, 0);
  if (Pointer->stripAndAccumulateConstantOffsets(A.DL, Offset, true) == Root)
    return Offset.ule(*Size - Bytes);
  if (!A.SE.isSCEVable(Pointer->getType()))
    return false;
  const SCEV *Distance = A.SE.getMinusSCEV(A.SE.getSCEV(Pointer), A.SE.getSCEV(Root));
  if (isa<SCEVCouldNotCompute>(Distance))
    return false;
  return A.SE.getUnsignedRangeMax(Distance).ule(*Size - Bytes);
}

static std::optional<StringRef> cellOf(const Value *V) {
  auto *Load = dyn_cast<LoadInst>(V);
  auto *Cell = Load ? dyn_cast<GlobalVariable>(Load->getPointerOperand()) : nullptr;
  if (Cell && Cell->getName().starts_with(CellPrefix))
    return Cell->getName();
  return std::nullopt;
}

/// Whether the local lives as long as its function runs.
static bool isStaticLocal(const Value *V) {
  auto *Local = dyn_cast<AllocaInst>(V);
  return Local ? Local->isStaticAlloca() : threadLocal(V) != nullptr;
}

Value *objectBehind(Value *V) {
  if (cellOf(V))
    return cast<GlobalVariable>(cast<LoadInst>(V)->getPointerOperand())->getInitializer();
  if (auto *Call = dyn_cast<CallInst>(V); Call && isOwn(*Call) && Call->arg_size() == 2)
    if (Value *From = Call->getArgOperand(0); isStaticLocal(From))
      return From;
  return V;
}

namespace {

/// The uses of one object in one function.
class ObjectUses {
public:
  ObjectUses(Value &Object, Function &F, Analyses &A) : F(F), A(A) { walk(Object); }
  SmallVector<Use *> Escaping;
  SmallVector<IntrinsicInst *> Lifetimes;
  unsigned Proven = 0;

private:
  void walk(Value &Pointer) {
    for (Use &U : Pointer.uses()) {
      auto *I = dyn_cast<Instruction>(U.getUser());
      if (!I || I->getFunction() != &F)
        continue;
      if (isa<GetElementPtrInst>(I) && U.getOperandNo() == 0)
        walk(*I);
      else if (!isDirect(*I, U))
        Escaping.push_back(&U);
    }
  }

  bool isDirect(Instruction &I, Use &U) {
    for (const Access &At : accessesOf(I, A.DL))
      if (At.Operand == U.getOperandNo()) {
        // clang 19 cannot write the address of a global as a memory operand (%pcrel_lo without its %pcrel_hi).
        if (isa<CallBase>(I) && !isa<IntrinsicInst>(I) && isa<GlobalValue>(rootOf(U.get())))
          return false;
        if (!provenInBounds(U.get(), At.Bytes, A))
          return false;
        ++Proven;
        return true;
      }
    if (auto *Compare = dyn_cast<ICmpInst>(&I))
      return isa<ConstantPointerNull>(Compare->getOperand(1 - U.getOperandNo())) && !isWeak(rootOf(U.get()));
    if (auto *Intrinsic = dyn_cast<IntrinsicInst>(&I))
      switch (Intrinsic->getIntrinsicID()) {
      case Intrinsic::lifetime_start:
      case Intrinsic::lifetime_end:
        Lifetimes.push_back(Intrinsic);
        return true;
      case Intrinsic::vastart:
      case Intrinsic::vacopy:
      case Intrinsic::vaend:
        return provenInBounds(U.get(), A.DL.getPointerSize(), A);
      case Intrinsic::invariant_start:
      case Intrinsic::invariant_end:
        return true;
      default:
        return Intrinsic->isAssumeLikeIntrinsic();
      }
    return false;
  }

  static bool isWeak(const Value *Root) {
    auto *Global = dyn_cast<GlobalValue>(Root);
    return Global && Global->hasExternalWeakLinkage();
  }

  Function &F;
  Analyses &A;
};

/// Puts fat pointers in the place of escaping uses, address arithmetic included.
class Replacement {
public:
  virtual ~Replacement() = default;
  /// The fat pointer to the object, for an instruction at `At`.
  virtual Value *tagged(Instruction *At) = 0;

  void replace(Use &U) {
    auto *User = cast<Instruction>(U.getUser());
    Instruction *At = User;
    if (auto *Phi = dyn_cast<PHINode>(User))
      At = Phi->getIncomingBlock(U)->getTerminator();
    Value *New = rebuilt(U.get(), At);
    if (auto *Phi = dyn_cast<PHINode>(User)) {
      // The same block can be there more than once, and then with the same value.
      for (unsigned Number = 0; Number < Phi->getNumIncomingValues(); ++Number)
        if (Phi->getIncomingBlock(Number) == At->getParent() && Phi->getIncomingValue(Number) == U.get() &&
            Number != U.getOperandNo())
          Phi->setIncomingValue(Number, New);
    }
    U.set(New);
  }

private:
  Value *rebuilt(Value *Pointer, Instruction *At) {
    auto *GEP = dyn_cast<GetElementPtrInst>(Pointer);
    if (!GEP)
      return tagged(At);
    auto &Known = Clones[GEP];
    if (!Known) {
      auto *Clone = cast<GetElementPtrInst>(GEP->clone());
      Clone->insertAfter(GEP);
      Clone->setOperand(0, rebuilt(GEP->getPointerOperand(), GEP));
      Known = Clone;
    }
    return Known;
  }

  DenseMap<GetElementPtrInst *, Value *> Clones;
};

class LocalReplacement : public Replacement {
public:
  explicit LocalReplacement(Value *Minted) : Minted(Minted) {}
  Value *tagged(Instruction *) override { return Minted; }

private:
  Value *Minted;
};

class GlobalReplacement : public Replacement {
public:
  GlobalReplacement(GlobalValue &Object, LoopInfo &LI) : Object(Object), LI(LI) {}

  Value *tagged(Instruction *At) override {
    // Before the loops, so that checks can go there too.
    for (Loop *L = LI.getLoopFor(At->getParent()); L && L->getLoopPreheader(); L = L->getParentLoop())
      At = L->getLoopPreheader()->getTerminator();
    LoadInst *&Load = Loads[At->getParent()];
    if (Load && (Load == At || Load->comesBefore(At)))
      return Load;
    if (Load) {
      Load->moveBefore(At);
      return Load;
    }
    IRBuilder<> B(At);
    GlobalVariable *Cell = cell();
    Load = B.CreateLoad(B.getPtrTy(), Cell);
    Load->setMetadata(LLVMContext::MD_invariant_load, MDNode::get(Object.getContext(), {}));
    return Load;
  }

private:
  GlobalVariable *cell();
  GlobalValue &Object;
  LoopInfo &LI;
  DenseMap<BasicBlock *, LoadInst *> Loads;
};

} // namespace

/// A record for the linker: the 8 bytes at `Cell` shall become a fat pointer to the object at `Base`.
static void record(Module &M, Constant *Cell, Constant *Base) {
  auto *Pointer = PointerType::getUnqual(M.getContext());
  auto *Type = StructType::get(Pointer, Pointer);
  auto *Record = new GlobalVariable(M, Type, true, GlobalValue::PrivateLinkage, ConstantStruct::get(Type, Cell, Base),
                                    "__fides_pointer");
  Record->setSection(".fides.pointers");
  Record->setAlignment(Align(8));
  appendToCompilerUsed(M, {Record});
}

GlobalVariable *GlobalReplacement::cell() {
  Module &M = *Object.getParent();
  std::string Name = (CellPrefix + Object.getName()).str();
  if (auto *Known = M.getNamedGlobal(Name))
    return Known;
  auto *Cell = new GlobalVariable(M, Object.getType(), true, GlobalValue::InternalLinkage, &Object, Name);
  Cell->setExternallyInitialized(true); // by the linker
  Cell->setAlignment(Align(8));
  record(M, Cell, &Object);
  return Cell;
}

/// Its own comment in LLVM's words: whether the global stands for memory that C code may point to.
static bool isObject(const GlobalValue &G) {
  if (G.getName().starts_with("llvm.") || G.getName().starts_with("__fides_"))
    return G.getName().starts_with("__fides_constant") || G.getName().starts_with("__fides_object");
  if (G.isThreadLocal())
    return false;
  if (auto *Variable = dyn_cast<GlobalVariable>(&G))
    return !Variable->getSection().starts_with(".fides.");
  auto *Alias = dyn_cast<GlobalAlias>(&G);
  return Alias && isa_and_nonnull<GlobalVariable>(Alias->getAliaseeObject());
}

static void tagGlobals(Function &F, Analyses &A, Report &R) {
  SmallSetVector<GlobalValue *, 16> Used;
  for (BasicBlock &Block : F)
    for (Instruction &I : Block)
      for (Value *Operand : I.operands())
        if (auto *G = dyn_cast<GlobalValue>(Operand); G && !isa<Function>(G) && isObject(*G))
          Used.insert(G);
  std::vector<std::pair<GlobalValue *, SmallVector<Use *>>> Work;
  for (GlobalValue *G : Used) { // all proofs before any change
    ObjectUses Uses(*G, F, A);
    R.count("accesses.proven_global", Uses.Proven);
    if (!Uses.Escaping.empty())
      Work.emplace_back(G, Uses.Escaping);
  }
  for (auto &[G, Escaping] : Work) {
    GlobalReplacement Replace(*G, A.LI);
    for (Use *U : Escaping)
      Replace.replace(*U);
    R.count("objects.globals_with_entry_used");
  }
}

/// Every place where the function ends normally.
static SmallVector<Instruction *> exits(Function &F) {
  SmallVector<Instruction *> Found;
  for (BasicBlock &Block : F)
    if (auto *Return = dyn_cast<ReturnInst>(Block.getTerminator())) {
      CallInst *Last = Block.getTerminatingMustTailCall();
      Found.push_back(Last ? static_cast<Instruction *>(Last) : Return);
    }
  return Found;
}

/// The stack pointer that VLAs go back to takes the mark along, in its upper half.
static void saveMarkWithStack(IntrinsicInst &I) {
  IRBuilder<> B(&I);
  if (I.getIntrinsicID() == Intrinsic::stackrestore) {
    Value *Both = B.CreatePtrToInt(I.getArgOperand(0), B.getInt64Ty());
    Instructions(B).restoreMark(B.CreateLShr(Both, 32));
    I.setArgOperand(0, B.CreateIntToPtr(B.CreateAnd(Both, UINT32_MAX), B.getPtrTy()));
    return;
  }
  B.SetInsertPoint(I.getNextNode());
  Value *Saved = B.CreatePtrToInt(&I, B.getInt64Ty());
  Value *Both = B.CreateOr(Saved, B.CreateShl(Instructions(B).readMark(), 32));
  Value *Pointer = B.CreateIntToPtr(Both, B.getPtrTy());
  I.replaceUsesWithIf(Pointer, [&](Use &U) { return U.getUser() != Saved; });
}

/// va_start leaves the address of the arguments that are in memory: a fat pointer to as many as C has at most.
static void mintArguments(IntrinsicInst &Start, Report &R) {
  IRBuilder<> B(Start.getNextNode());
  Value *List = Start.getArgOperand(0);
  Value *Plain = B.CreateLoad(B.getPtrTy(), List);
  B.CreateStore(Instructions(B).mint(Plain, B.getInt64(ArgumentListBytes)), List);
  R.count("objects.argument_lists");
}

/// Size of a local in bytes, which the running program may have to compute.
static Value *sizeOf(Instruction &Object, const DataLayout &DL, IRBuilder<> &B) {
  auto *Local = dyn_cast<AllocaInst>(&Object);
  if (!Local || Local->isStaticAlloca())
    return B.getInt64(knownSize(&Object, DL).value_or(0));
  Value *Bytes = B.getInt64(DL.getTypeAllocSize(Local->getAllocatedType()));
  if (Local->isArrayAllocation())
    Bytes = B.CreateMul(Bytes, B.CreateZExtOrTrunc(Local->getArraySize(), B.getInt64Ty()));
  // More than an entry can hold must not look small: mint refuses sizes with any of bits 31..24 set.
  Value *Limit = B.getInt64(1 << 24);
  return isa<ConstantInt>(Bytes) ? Bytes : B.CreateSelect(B.CreateICmpULT(Bytes, Limit), Bytes, Limit);
}

static void tagLocals(Function &F, Analyses &A, Report &R) {
  SmallVector<Instruction *> Locals;
  SmallVector<IntrinsicInst *> Starts, Stacks;
  for (BasicBlock &Block : F)
    for (Instruction &I : Block) {
      if (isa<AllocaInst>(I) || threadLocal(&I))
        Locals.push_back(&I);
      auto *Intrinsic = dyn_cast<IntrinsicInst>(&I);
      if (Intrinsic && Intrinsic->getIntrinsicID() == Intrinsic::vastart)
        Starts.push_back(Intrinsic);
      if (Intrinsic && (Intrinsic->getIntrinsicID() == Intrinsic::stacksave ||
                        Intrinsic->getIntrinsicID() == Intrinsic::stackrestore))
        Stacks.push_back(Intrinsic);
    }
  std::vector<std::pair<Instruction *, ObjectUses>> Escaping;
  for (Instruction *Local : Locals) {
    ObjectUses Uses(*Local, F, A);
    R.count("accesses.proven_local", Uses.Proven);
    if (!Uses.Escaping.empty())
      Escaping.emplace_back(Local, std::move(Uses));
  }
  if (Escaping.empty() && Starts.empty())
    return;

  // Behind the last static local of the entry block, where all of them exist.
  Instruction *Begin = &*F.getEntryBlock().getFirstNonPHIOrDbgOrAlloca();
  IRBuilder<> B(Begin);
  Value *Mark = Instructions(B).readMark();
  SmallVector<IntrinsicInst *> Gone;
  for (auto &[Local, Uses] : Escaping) {
    bool Late = Local->getParent() != Begin->getParent() || !Local->comesBefore(Begin);
    B.SetInsertPoint(Late ? Local->getNextNode() : Begin);
    LocalReplacement Replace(Instructions(B).mint(Local, sizeOf(*Local, A.DL, B)));
    for (Use *U : Uses.Escaping)
      Replace.replace(*U);
    // Two objects must not share memory while pointers to both are live.
    Gone.append(Uses.Lifetimes);
    R.count("objects.locals_minted");
  }
  for (IntrinsicInst *Start : Starts)
    mintArguments(*Start, R);
  for (IntrinsicInst *Stack : Stacks)
    saveMarkWithStack(*Stack);
  for (Instruction *Exit : exits(F)) {
    B.SetInsertPoint(Exit);
    Instructions(B).restoreMark(Mark);
  }
  for (IntrinsicInst *Lifetime : Gone)
    Lifetime->eraseFromParent();
  R.count("functions.with_minted_locals");
}

void tagObjects(Function &F, FunctionAnalysisManager &FAM, Report &R) {
  {
    Analyses A(F, FAM);
    tagGlobals(F, A, R);
  }
  FAM.invalidate(F, PreservedAnalyses::none());
  {
    Analyses A(F, FAM);
    tagLocals(F, A, R);
  }
  FAM.invalidate(F, PreservedAnalyses::none());
}

/// Adds a record for each pointer to an object in `Part`, which is at `At` of the global.
static void recordPart(GlobalVariable &Global, Constant *Part, uint64_t At, const DataLayout &DL, unsigned &Records) {
  if (isa<ConstantData>(Part) || isa<Function>(Part))
    return;
  if (Part->getType()->isPointerTy() || isa<ConstantExpr>(Part)) {
    APInt Offset(64, 0);
    Constant *Base = Part;
    if (auto *Cast = dyn_cast<ConstantExpr>(Part); Cast && Cast->getOpcode() == Instruction::PtrToInt)
      Base = Cast->getOperand(0);
    Base = cast<Constant>(Base->stripAndAccumulateConstantOffsets(DL, Offset, true));
    auto *Object = dyn_cast<GlobalValue>(Base);
    if (!Object || isa<Function>(Object) || !isObject(*Object) || DL.getTypeStoreSize(Part->getType()) != 8)
      return;
    Module &M = *Global.getParent();
    auto *I8 = Type::getInt8Ty(M.getContext());
    auto *Index = ConstantInt::get(Type::getInt64Ty(M.getContext()), At);
    record(M, ConstantExpr::getGetElementPtr(I8, static_cast<Constant *>(&Global), Index), Object);
    ++Records;
    return;
  }
  if (auto *Struct = dyn_cast<ConstantStruct>(Part)) {
    const StructLayout *Layout = DL.getStructLayout(Struct->getType());
    for (unsigned Number = 0; Number < Struct->getNumOperands(); ++Number)
      recordPart(Global, Struct->getOperand(Number), At + Layout->getElementOffset(Number), DL, Records);
    return;
  }
  if (isa<ConstantArray>(Part) || isa<ConstantVector>(Part)) {
    Type *Element = isa<ConstantArray>(Part) ? cast<ArrayType>(Part->getType())->getElementType()
                                             : cast<VectorType>(Part->getType())->getElementType();
    uint64_t Bytes = DL.getTypeAllocSize(Element);
    for (unsigned Number = 0; Number < Part->getNumOperands(); ++Number)
      recordPart(Global, cast<Constant>(Part->getOperand(Number)), At + Number * Bytes, DL, Records);
  }
}

void recordInitialisers(Module &M, Report &R) {
  SmallVector<GlobalVariable *> Initialised;
  for (GlobalVariable &G : M.globals())
    if (G.hasInitializer() && isObject(G))
      Initialised.push_back(&G);
  unsigned Records = 0;
  for (GlobalVariable *G : Initialised)
    recordPart(*G, G->getInitializer(), 0, M.getDataLayout(), Records);
  R.count("objects.initialised_pointers", Records);
}

} // namespace fides
