using System.Runtime.Intrinsics;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>Chooses the kernel for the widest vectors that this machine is fast with.</summary>
internal static class SimdKernel
{
    public static CreateKernel Widest(CreateKernel vector512, CreateKernel vector256, CreateKernel vector128) =>
        Vector512.IsHardwareAccelerated ? vector512
        : Vector256.IsHardwareAccelerated ? vector256
        : vector128;
}
