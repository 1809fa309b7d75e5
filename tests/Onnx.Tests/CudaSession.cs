using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.Attention.Onnx.Tests;

/// <summary>Sessions on the GPU, with this library's kernels, whose results are compared with those in float32.</summary>
internal static class CudaSession
{
    public static void SkipWithoutGpu() =>
        Assert.SkipWhen(KernelLibrary.CudaUnavailableReason is not null, $"no GPU: {KernelLibrary.CudaUnavailableReason}");

    public static void Register(SessionOptions options)
    {
        // TF32, the provider's default, keeps 10 bits of a product's factors.
        using var cuda = new OrtCUDAProviderOptions();
        cuda.UpdateOptions(new() { ["use_tf32"] = "0" });
        options.AppendExecutionProvider_CUDA(cuda);
        KernelLibrary.Register(options, cuda: true);
    }
}
