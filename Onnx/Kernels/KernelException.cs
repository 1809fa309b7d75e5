namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>
/// A kernel's refusal of its attributes or inputs. The caller of <c>InferenceSession</c> sees the message behind the op's name.
/// </summary>
internal sealed class KernelException(string message) : Exception(message);
