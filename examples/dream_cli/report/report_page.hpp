// A page of sections in one HTML file that needs nothing else.
#pragma once

#include <string>
#include <vector>

namespace dream_cli::study_report {

struct PageSection {
  std::string id, title;  ///< title: plain text
  std::string html;
};

struct ReportPage {
  std::string title;  ///< plain text
  std::string lead;   ///< HTML, one paragraph
  std::vector<PageSection> sections;

  /// With a table of contents.
  std::string html() const;
};

}  // namespace dream_cli::study_report
