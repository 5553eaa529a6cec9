// The kernels of the host at real shapes, beside Eigen's on the same memory, each pair checked before it is timed:
//
//   OMP_NUM_THREADS=2 host_kernels [--benchmark_filter=product] [--benchmark_out=host.json --benchmark_out_format=json]
//
// Names are KERNEL/SHAPE/dream and KERNEL/SHAPE/eigen. Both may use as many threads as OMP_NUM_THREADS says; Eigen does
// so in its products, and its other expressions run on one. Graphs are those of the sets in the folder that DREAM_DATA
// names, else random ones of their sizes. `of_copy` is the share of a large copy's bandwidth, of the bytes that must
// move; `of_product` that of the rate of a large product by the better of the two. Both are measured in the same run,
// by as many threads. CPU time is that of all threads. The exit status is 1 where results differ.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <string>

#include "host_kernels/cases.hpp"
#include "host_kernels/losses.hpp"
#include "host_kernels/products.hpp"

int main(int argc, char** argv) {
  using namespace dream_benchmarks;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  try {
    HostSession& session = host();
    Eigen::setNbThreads(session.context.threads());
    session.ceilings = measured_host_ceilings(session.context);
    const auto text = [](double value) {
      char written[32];
      std::snprintf(written, sizeof written, "%.4g", value);
      return std::string(written);
    };
    benchmark::AddCustomContext("threads", std::to_string(session.context.threads()));
    benchmark::AddCustomContext("copy_bytes_per_second", text(session.ceilings.copy));
    benchmark::AddCustomContext("product_operations_per_second", text(session.ceilings.product));
    add_host_product_cases();
    add_host_loss_cases();
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return session.all_right ? 0 : 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "host_kernels: error: %s\n", e.what());
    return 1;
  }
}
