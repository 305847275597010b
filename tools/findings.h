// What is wrong with a WAL image, in the words of the recovery report.
#pragma once

#include <string>
#include <vector>

#include "duramen/log_store.h"
#include "tools/wal_image.h"

namespace duramen::tools {

/// One of verify's or dump's; the kinds and what they mean are those of a start.
struct ImageFinding {
  Finding finding;
  bool acknowledged = false;  // bytes that were proven durable are lost
  bool failed_check = false;  // a checksum does not match, and no crash explains it
};

/// From the tail verdict alone; the logs that damage touches are not looked for.
std::vector<ImageFinding> FindingsOf(const WalImage& image);

/// "damage: batch 12 of 0000000000000003.wal at offset 8192, 4.0 KiB: ..."
std::string SentenceOf(const Finding& finding);

/// "clean", "clean, with a torn tail that a start cuts", "damage".
std::string VerdictSentence(const WalImage& image);

}  // namespace duramen::tools
