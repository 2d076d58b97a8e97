// The report, a line of JSON for each source.
#include "pass.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

namespace fides {

using namespace llvm;

bool Report::write(const std::string &Path, StringRef Source) const {
  json::Object Numbers;
  for (const auto &[What, Number] : Counts)
    Numbers[What] = static_cast<int64_t>(Number);
  std::error_code Error;
  raw_fd_ostream Stream(Path, Error, sys::fs::OF_Append | sys::fs::OF_Text);
  if (Error)
    return false;
  // In one piece: compilers that run at the same time write to the same file.
  std::string Line;
  raw_string_ostream(Line) << json::Value(json::Object{{"source", Source}, {"counts", std::move(Numbers)}}) << "\n";
  Stream << Line;
  return true;
}

} // namespace fides
