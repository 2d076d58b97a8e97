// The pass plugin for clang: fat pointers for C (docs/compiler.md).
#include "pass.h"

#include "llvm/IR/Verifier.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Passes/PassPlugin.h"

#include <cstdlib>

using namespace llvm;

/// Names the file that a line of JSON about the checks goes to; clang reads its own options before it loads plugins.
static constexpr const char *ReportVariable = "FIDES_CC_REPORT";
/// "0": only what compartments need.
static constexpr const char *ChecksVariable = "FIDES_CC_CHECKS";
/// "1": registers are cleared between compartments.
static constexpr const char *ClearVariable = "FIDES_CC_CLEAR";

namespace {

/// Address arithmetic that has been replaced everywhere.
void removeUnused(Function &F) {
  for (bool Changed = true; Changed;) {
    Changed = false;
    for (BasicBlock &Block : F)
      for (Instruction &I : make_early_inc_range(reverse(Block)))
        if (isa<GetElementPtrInst>(I) && I.use_empty()) {
          I.eraseFromParent();
          Changed = true;
        }
  }
}

bool isSet(const char *Variable, StringRef Value) {
  const char *Found = std::getenv(Variable);
  return Found && StringRef(Found) == Value;
}

struct FidesPass : PassInfoMixin<FidesPass> {
  PreservedAnalyses run(Module &M, ModuleAnalysisManager &MAM) {
    using namespace fides;
    auto &FAM = MAM.getResult<FunctionAnalysisManagerModuleProxy>(M).getManager();
    Report R;
    SmallVector<Function *> Defined;
    for (Function &F : M)
      if (!F.isDeclaration() && !F.hasAvailableExternallyLinkage())
        Defined.push_back(&F);
    bool Clear = isSet(ClearVariable, "1");
    if (isSet(ChecksVariable, "0")) {
      for (Function *F : Defined)
        countHandlers(*F, R);
    } else {
      insertAll(M, Defined, FAM, R);
    }
    if (Clear)
      for (Function *F : Defined)
        clearRegisters(*F, R);
    R.count("functions.all", Defined.size());
    std::string Wrong;
    raw_string_ostream Stream(Wrong);
    if (verifyModule(M, &Stream))
      report_fatal_error(Twine("fides pass: ") + Wrong, false);
    if (const char *File = std::getenv(ReportVariable); File && !R.write(File, M.getSourceFileName()))
      report_fatal_error(Twine("cannot write ") + File, false);
    return PreservedAnalyses::none();
  }

  static void insertAll(Module &M, ArrayRef<Function *> Defined, FunctionAnalysisManager &FAM, fides::Report &R) {
    using namespace fides;
    prepare(M, R);
    callCheckingLibrary(M, R);
    checkPrebuiltCalls(M, R);
    for (Function *F : Defined) {
      countHandlers(*F, R);
      FAM.invalidate(*F, PreservedAnalyses::none());
      tagObjects(*F, FAM, R);
      SmallVector<CheckedPointer> Checked;
      insertChecks(*F, FAM, Checked, R);
      guardArithmetic(*F, FAM, Checked, R);
      removeUnused(*F);
    }
    recordInitialisers(M, R);
  }

  static bool isRequired() { return true; }
};

} // namespace

extern "C" LLVM_ATTRIBUTE_WEAK PassPluginLibraryInfo llvmGetPassPluginInfo() {
  return {LLVM_PLUGIN_API_VERSION, "fides", "1", [](PassBuilder &Builder) {
            Builder.registerOptimizerLastEPCallback(
                [](ModulePassManager &Passes, OptimizationLevel) { Passes.addPass(FidesPass()); });
            Builder.registerPipelineParsingCallback(
                [](StringRef Name, ModulePassManager &Passes, ArrayRef<PassBuilder::PipelineElement>) {
                  if (Name == "fides")
                    Passes.addPass(FidesPass());
                  return Name == "fides";
                });
          }};
}
