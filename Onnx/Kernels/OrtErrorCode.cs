namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>The codes of OrtStatus that kernels answer with.</summary>
internal enum OrtErrorCode
{
    Fail = 1,
    InvalidArgument = 2,
}
