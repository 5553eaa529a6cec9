// The whole host library, in the order in which data flows through it. Needs Eigen.
// Checkpoints (<dream/train/checkpoint.hpp>) need nlohmann-json besides and are included by those who want them.
#pragma once

// Foundations: views, errors, random numbers.
#include <dream/core/error.hpp>
#include <dream/core/random.hpp>
#include <dream/core/view.hpp>
// Data sets: read, split, generate.
#include <dream/data/dataset.hpp>
#include <dream/data/read_dataset.hpp>
#include <dream/data/synthetic.hpp>
#include <dream/data/write_dataset.hpp>
// A backend: memory and primitives.
#include <dream/backend/algebra.hpp>
#include <dream/backend/context.hpp>
#include <dream/backend/gemm.hpp>
#include <dream/backend/matrix.hpp>
#include <dream/backend/sparse.hpp>
// Graphs of users and items.
#include <dream/graph/bipartite.hpp>
#include <dream/graph/cooccurrence.hpp>
#include <dream/graph/knn.hpp>
// The tape and its ops.
#include <dream/autograd/parameters.hpp>
#include <dream/autograd/tape.hpp>
#include <dream/ops/columns.hpp>
#include <dream/ops/dense.hpp>
#include <dream/ops/dropout.hpp>
#include <dream/ops/graph.hpp>
// Components and the models made of them.
#include <dream/components/batch_similarity_loss.hpp>
#include <dream/components/contrastive_alignment.hpp>
#include <dream/components/gated_modal_encoder.hpp>
#include <dream/components/graph_propagation.hpp>
#include <dream/components/modal_fusion.hpp>
#include <dream/components/modality_attention.hpp>
#include <dream/components/ranking_loss.hpp>
#include <dream/models/any_model.hpp>
#include <dream/models/bm3.hpp>
#include <dream/models/dream.hpp>
#include <dream/models/freedom.hpp>
#include <dream/models/lightgcn.hpp>
#include <dream/models/mf.hpp>
#include <dream/models/mgcn.hpp>
#include <dream/models/vbpr.hpp>
// Training, evaluation, recommendations.
#include <dream/eval/diagnostics.hpp>
#include <dream/eval/ranking.hpp>
#include <dream/serve/export.hpp>
#include <dream/serve/recommend.hpp>
#include <dream/serve/recommender.hpp>
#include <dream/train/fit.hpp>
