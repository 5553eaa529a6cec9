// The whole CUDA backend: what Context<Cuda>, its graphs and the products on it need.
#pragma once

#include <dream/cuda/context.cuh>
#include <dream/cuda/launch_graph.cuh>
#include <dream/cuda/libraries.cuh>
