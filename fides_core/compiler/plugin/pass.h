// What the files of the pass share. One translation unit after another goes through: prepare, jumps, objects, checks,
// arithmetic; plugin.cpp has the order.
#pragma once

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Analysis/AssumptionCache.h"
#include "llvm/Analysis/LoopInfo.h"
#include "llvm/Analysis/ScalarEvolution.h"
#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/Analysis/TargetTransformInfo.h"
#include "llvm/IR/Dominators.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/Operator.h"
#include "llvm/IR/PassManager.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace fides {

// --- report.cpp -----------------------------------------------------------------------------------------------------

/// What the pass did, a number for each reason; `fides cc --report` adds the files of all sources up.
class Report {
public:
  void count(const std::string &What, uint64_t Number = 1) { Counts[What] += Number; }
  /// Appends to `Path` one line of JSON. Returns false when it cannot be written.
  bool write(const std::string &Path, llvm::StringRef Source) const;

private:
  std::map<std::string, uint64_t> Counts;
};

// --- instructions.cpp: Xfides instructions as inline assembly ------------------------------------------------------

/// The instructions of the extension, and the control register fmark, at the place of a builder.
class Instructions {
public:
  explicit Instructions(llvm::IRBuilder<> &Builder) : B(Builder) {}
  /// Faults unless `Bytes` (1, 2, 4, 8, 16) at Base + Offset are in a live object; the pointer Base + Offset.
  llvm::CallInst *val(llvm::Value *Base, llvm::Value *Offset, unsigned Bytes);
  /// The same without a result; the offset fits 12 bits.
  llvm::CallInst *vali(llvm::Value *Base, int64_t Offset, unsigned Bytes);
  /// Base + Offset with Base's index and cookie.
  llvm::CallInst *ptradd(llvm::Value *Base, llvm::Value *Offset);
  /// A pointer to `Bytes` bytes at Base, with an entry of the stack zone.
  llvm::CallInst *mint(llvm::Value *Base, llvm::Value *Bytes);
  llvm::Value *readMark();
  void restoreMark(llvm::Value *Mark);
  void disarm();
  /// Zeroes the temporaries and the argument registers from number `FirstArgument` (0..8) on, and tells the linker.
  void clear(unsigned FirstArgument);

private:
  llvm::CallInst *call(llvm::StringRef Text, llvm::StringRef Constraints, llvm::Type *Result,
                       llvm::ArrayRef<llvm::Value *> Arguments, bool SideEffects, bool Memory);
  llvm::IRBuilder<> &B;
};

/// Whether `Offset` is one that `vali` and loads can hold.
bool fitsImmediate(int64_t Offset);
/// Whether `I` is one of the statements that this pass makes.
bool isOwn(const llvm::Instruction &I);

// --- objects.cpp: what pointers point to ----------------------------------------------------------------------------

/// A function's analyses, as they were when made: change the function, and make them again.
struct Analyses {
  Analyses(llvm::Function &F, llvm::FunctionAnalysisManager &FAM);
  llvm::DominatorTree &DT;
  llvm::LoopInfo &LI;
  llvm::ScalarEvolution &SE;
  const llvm::TargetTransformInfo &TTI;
  const llvm::DataLayout &DL;
};

/// Size of the object in bytes, when it is a local or a global whose size is sure at compile time.
std::optional<uint64_t> knownSize(const llvm::Value *Object, const llvm::DataLayout &DL);
/// Whether `V` is the address of an object as the linker or the stack has it, without index and cookie.
bool isPlainAddress(const llvm::Value *V);
/// The local or global that `Pointer` is computed from by address arithmetic alone, or what else is at its beginning.
llvm::Value *rootOf(llvm::Value *Pointer);
/// Whether `Bytes` at `Pointer` are inside an object of known size whatever the program does.
bool provenInBounds(llvm::Value *Pointer, uint64_t Bytes, Analyses &A);
/// The global whose cell `V` was loaded from, or the local that `V` was minted for, or `V` itself.
llvm::Value *objectBehind(llvm::Value *V);

/// Gives each object of the function whose address gets away a fat pointer, and puts that in place of the address
/// everywhere but in accesses that are proven in bounds.
void tagObjects(llvm::Function &F, llvm::FunctionAnalysisManager &FAM, Report &R);
/// Records for the linker about initialised pointers to objects.
void recordInitialisers(llvm::Module &M, Report &R);

// --- address.cpp: pointers taken apart -----------------------------------------------------------------------------

/// Base + sum of scaled terms + Constant, in bytes, mod 2^64.
struct Address {
  llvm::Value *Base;
  llvm::SmallVector<std::pair<llvm::Value *, int64_t>, 2> Terms;
  int64_t Constant = 0;
};
Address takeApart(llvm::Value *Pointer, const llvm::DataLayout &DL, llvm::LoopInfo &LI, llvm::BasicBlock *User);
/// The offset of `Address` (without its base) as a 64-bit value.
llvm::Value *offsetOf(const Address &At, int64_t Constant, llvm::IRBuilder<> &B);

/// One access through a pointer: operand `Operand` of `User` is the address of `Bytes` bytes.
struct Access {
  llvm::Instruction *User;
  unsigned Operand;
  uint64_t Bytes;
  llvm::Value *pointer() const { return User->getOperand(Operand); }
};
/// All accesses of `I` whose extent is a constant.
llvm::SmallVector<Access, 2> accessesOf(llvm::Instruction &I, const llvm::DataLayout &DL);

// --- the other steps ------------------------------------------------------------------------------------------------

/// Removes what later steps could be misled by: promises that the program may break.
void prepare(llvm::Module &M, Report &R);
/// Handlers of setjmp are counted, and taken away on every way out.
void countHandlers(llvm::Function &F, Report &R);
/// Memory and string functions of the C library become those that check.
void callCheckingLibrary(llvm::Module &M, Report &R);
/// Arguments of functions without checks, which the driver has given contracts of, are checked before the calls.
void checkPrebuiltCalls(llvm::Module &M, Report &R);
/// At `At` the program has passed a check of memory near `Pointer`.
struct CheckedPointer {
  llvm::Value *Pointer;
  llvm::Instruction *At;
};
/// Inserts the checks that are not superfluous; adds to `Checked` what they say.
void insertChecks(llvm::Function &F, llvm::FunctionAnalysisManager &FAM,
                  llvm::SmallVectorImpl<CheckedPointer> &Checked, Report &R);
/// Clears, at the beginning and the ends of a function that others can enter, registers that it is not to see or to show.
void clearRegisters(llvm::Function &F, Report &R);
/// Address arithmetic that could reach index or cookie goes through ptradd.
void guardArithmetic(llvm::Function &F, llvm::FunctionAnalysisManager &FAM, llvm::ArrayRef<CheckedPointer> Checked,
                     Report &R);

} // namespace fides
