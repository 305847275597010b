// What the binary itself answers a test: its exit code and both of its streams.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tools/child.h"

namespace duramen::tools::testing {

struct BinaryAnswer final : Child::Listener {
  int exit = -1;
  std::string out;
  std::string err;
  void OnOut(std::string_view line) override { out.append(line).push_back('\n'); }
  void OnErr(std::string_view line) override { err.append(line).push_back('\n'); }
};

inline BinaryAnswer RunBinary(const char* binary, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), binary);
  BinaryAnswer answer;
  Result<Child> child = Child::Start(arguments);
  EXPECT_TRUE(child.ok());
  const Result<Child::Exit> exit = child->Run(answer);
  EXPECT_TRUE(exit.ok());
  answer.exit = exit.ok() ? exit->code : -1;
  return answer;
}

}  // namespace duramen::tools::testing
