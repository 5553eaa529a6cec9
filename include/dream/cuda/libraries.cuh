// Products by NVIDIA's libraries on row-major views: dense ones by cuBLAS, sparse times dense by cuSPARSE.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <cusparse.h>

#include <dream/backend/gemm.hpp>
#include <dream/backend/matrix.hpp>
#include <dream/core/view.hpp>
#include <dream/cuda/context.cuh>

namespace dream {

/// What the libraries multiply here.
template <class T>
concept CudaReal = std::same_as<T, float> || std::same_as<T, double>;

namespace detail {

template <CudaReal T>
inline constexpr cudaDataType_t cuda_type = std::is_same_v<T, float> ? CUDA_R_32F : CUDA_R_64F;

/// The distance of rows as the libraries take it. A matrix of one row may come with any.
template <class T>
std::int64_t leading_dimension(MatrixView<T> m, const char* name) {
  const std::int64_t least = std::max<std::int64_t>(m.cols, 1);
  if (m.rows <= 1) return std::max(m.stride, least);
  DREAM_EXPECT(m.stride >= least, name, " is ", shape(m), " with rows ", m.stride, " values apart: they overlap");
  return m.stride;
}

/// C = beta C, without reading C when beta is 0.
template <CudaReal T>
void scale(Context<Cuda>& context, T beta, MatrixView<T> c) {
  if (c.empty() || beta == T{1}) return;
  const DeviceScope scope(context.device());
  const std::int64_t stride = leading_dimension(c, "C");
  if (beta == T{0}) {
    DREAM_CUDA_TRY(cudaMemset2DAsync(c.data, static_cast<std::size_t>(stride) * sizeof(T), 0,
                                     static_cast<std::size_t>(c.cols) * sizeof(T), static_cast<std::size_t>(c.rows),
                                     context.stream()));
    return;
  }
  const T zero = 0;
  if constexpr (std::is_same_v<T, float>) {
    DREAM_CUBLAS_TRY(cublasSgeam_64(context.blas(), CUBLAS_OP_N, CUBLAS_OP_N, c.cols, c.rows, &beta, c.data, stride,
                                    &zero, c.data, stride, c.data, stride));
  } else {
    DREAM_CUBLAS_TRY(cublasDgeam_64(context.blas(), CUBLAS_OP_N, CUBLAS_OP_N, c.cols, c.rows, &beta, c.data, stride,
                                    &zero, c.data, stride, c.data, stride));
  }
}

}  // namespace detail

/// C = alpha op(A) op(B) + beta C by cuBLAS. C is not read when beta is 0 and must not overlap A or B.
///
/// cuBLAS thinks in columns: a row-major matrix is to it the transposed one. So it is asked for C^T = op(B)^T op(A)^T;
/// this is the only place that knows.
template <CudaReal T>
void gemm(Context<Cuda>& context, Op op_a, Op op_b, T alpha, MatrixView<const T> a, MatrixView<const T> b, T beta,
          MatrixView<T> c) {
  const auto [m, n, k] = expect_product_shapes(op_a, op_b, a, b, c);
  if (c.empty()) return;
  if (k == 0) return detail::scale(context, beta, c);
  const auto op = [](Op o) { return o == Op::none ? CUBLAS_OP_N : CUBLAS_OP_T; };
  const std::int64_t a_stride = detail::leading_dimension(a, "gemm: A"),
                     b_stride = detail::leading_dimension(b, "gemm: B"),
                     c_stride = detail::leading_dimension(c, "gemm: C");
  constexpr cudaDataType_t type = detail::cuda_type<T>;
  const cublasComputeType_t compute = std::is_same_v<T, double>                    ? CUBLAS_COMPUTE_64F
                                      : context.products() == MatrixProducts::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                                                   : CUBLAS_COMPUTE_32F;
  const detail::DeviceScope scope(context.device());
  DREAM_CUBLAS_TRY(cublasGemmEx_64(context.blas(), op(op_b), op(op_a), n, m, k, &alpha, b.data, type, b_stride, a.data,
                                   type, a_stride, &beta, c.data, type, c_stride, compute, CUBLAS_GEMM_DEFAULT));
}

/// Which of cuSPARSE's algorithms: one whose results repeat to the bit, or the one meant for row-major matrices.
enum class SparseProducts { repeatable, unordered };

/// A sparse matrix prepared for products by cuSPARSE: descriptors and what its analysis found are kept. The matrix must
/// stay as and where it is; the context must outlive this.
template <CudaReal T>
class CusparseMatrix {
 public:
  /// `a` lies on the device, so the number of its entries is told. cuSPARSE takes row offsets of the type of the
  /// columns; a 32-bit copy is made.
  CusparseMatrix(Context<Cuda>& context, CsrView<T> a, std::int64_t entries,
                 SparseProducts products = SparseProducts::repeatable)
      : rows_(a.rows),
        cols_(a.cols),
        entries_(entries),
        algorithm_(products == SparseProducts::repeatable ? CUSPARSE_SPMM_CSR_ALG3 : CUSPARSE_SPMM_CSR_ALG2) {
    DREAM_EXPECT(entries >= 0 && entries <= std::numeric_limits<index_t>::max(), "a sparse matrix for cuSPARSE with ",
                 entries, " entries: more than 32-bit offsets count");
    DREAM_EXPECT(entries == 0 || a.values != nullptr, "a sparse matrix for cuSPARSE needs its values");
    if (rows_ == 0 || cols_ == 0 || entries_ == 0) return;
    const detail::DeviceScope scope(context.device());
    const std::size_t offsets = static_cast<std::size_t>(a.rows) + 1;
    offsets_.resize(context, static_cast<std::int64_t>(offsets));
    // The lower halves of the 64-bit offsets.
    DREAM_CUDA_TRY(cudaMemcpy2DAsync(offsets_.data(), sizeof(index_t), a.offsets, sizeof(std::int64_t), sizeof(index_t),
                                     offsets, cudaMemcpyDeviceToDevice, context.stream()));
    cusparseConstSpMatDescr_t matrix = nullptr;
    DREAM_CUSPARSE_TRY(cusparseCreateConstCsr(&matrix, rows_, cols_, entries_, offsets_.data(), a.indices, a.values,
                                              CUSPARSE_INDEX_32I, CUSPARSE_INDEX_32I, CUSPARSE_INDEX_BASE_ZERO,
                                              detail::cuda_type<T>));
    matrix_.reset(matrix);
  }

  /// Y = alpha A X + beta Y. Y is not read when beta is 0. The first product with a number of columns and strides
  /// prepares for them; that is no work for a graph.
  void multiply(Context<Cuda>& context, T alpha, MatrixView<const T> x, T beta, MatrixView<T> y) {
    DREAM_EXPECT(cols_ == x.rows && rows_ == y.rows && x.cols == y.cols, "product by cuSPARSE: A is ", rows_, " x ",
                 cols_, ", X is ", shape(x), ", Y is ", shape(y));
    if (y.empty()) return;
    if (!matrix_) return detail::scale(context, beta, y);
    const detail::DeviceScope scope(context.device());
    const std::int64_t x_stride = detail::leading_dimension(x, "X"), y_stride = detail::leading_dimension(y, "Y");
    if (x.cols != prepared_cols_ || x_stride != x_stride_ || y_stride != y_stride_)
      prepare(context, alpha, x, x_stride, beta, y, y_stride);
    DREAM_CUSPARSE_TRY(cusparseDnMatSetValues(x_.get(), const_cast<T*>(x.data)));
    DREAM_CUSPARSE_TRY(cusparseDnMatSetValues(y_.get(), y.data));
    DREAM_CUSPARSE_TRY(cusparseSpMM(context.sparse(), CUSPARSE_OPERATION_NON_TRANSPOSE,
                                    CUSPARSE_OPERATION_NON_TRANSPOSE, &alpha, matrix_.get(), x_.get(), &beta, y_.get(),
                                    detail::cuda_type<T>, algorithm_, workspace_.data()));
  }

 private:
  static cusparseDnMatDescr_t dense(index_t rows, index_t cols, std::int64_t stride, const T* data) {
    cusparseDnMatDescr_t matrix = nullptr;
    DREAM_CUSPARSE_TRY(cusparseCreateDnMat(&matrix, rows, cols, stride, const_cast<T*>(data), detail::cuda_type<T>,
                                           CUSPARSE_ORDER_ROW));
    return matrix;
  }

  void prepare(Context<Cuda>& context, T alpha, MatrixView<const T> x, std::int64_t x_stride, T beta, MatrixView<T> y,
               std::int64_t y_stride) {
    context.expect_no_capture("the first product by cuSPARSE of a shape");
    prepared_cols_ = -1;
    x_.reset(dense(x.rows, x.cols, x_stride, x.data));
    y_.reset(dense(y.rows, y.cols, y_stride, y.data));
    constexpr cusparseOperation_t none = CUSPARSE_OPERATION_NON_TRANSPOSE;
    std::size_t bytes = 0;
    DREAM_CUSPARSE_TRY(cusparseSpMM_bufferSize(context.sparse(), none, none, &alpha, matrix_.get(), x_.get(), &beta,
                                               y_.get(), detail::cuda_type<T>, algorithm_, &bytes));
    workspace_.resize(context, static_cast<std::int64_t>(std::max<std::size_t>(bytes, 16)));
    DREAM_CUSPARSE_TRY(cusparseSpMM_preprocess(context.sparse(), none, none, &alpha, matrix_.get(), x_.get(), &beta,
                                               y_.get(), detail::cuda_type<T>, algorithm_, workspace_.data()));
    prepared_cols_ = x.cols;
    x_stride_ = x_stride;
    y_stride_ = y_stride;
  }

  index_t rows_, cols_;
  std::int64_t entries_;
  cusparseSpMMAlg_t algorithm_;
  Array<index_t, Cuda> offsets_;
  Array<std::byte, Cuda> workspace_;
  CudaHandle<cusparseConstSpMatDescr_t, cusparseDestroySpMat> matrix_;
  CudaHandle<cusparseDnMatDescr_t, cusparseDestroyDnMat> x_, y_;
  index_t prepared_cols_ = -1;
  std::int64_t x_stride_ = 0, y_stride_ = 0;
};

}  // namespace dream
