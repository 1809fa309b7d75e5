using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>
/// The kernels of the ops in domain <c>ml.attention</c>. A model runs without them through the ops' function bodies, and faster with them.
/// </summary>
public static class KernelLibrary
{
    /// <summary>The domain of this library's ops.</summary>
    public const string Domain = "ml.attention";

    private static readonly Kernel[] Kernels = [];

    private static readonly Lazy<CustomOpDomain> ForCpu = new(() => new(Domain, Kernels.Where(kernel => kernel.Provider == KernelProvider.Cpu)));

    private static readonly Lazy<CustomOpDomain> ForCuda = new(() => new(Domain, Kernels));

    /// <summary>Adds the kernels to the options of a session that is to be created.</summary>
    /// <param name="options">The session's options.</param>
    /// <param name="cuda">Whether the options have the CUDA execution provider; its kernels are added too then.</param>
    /// <exception cref="NotSupportedException">ONNX Runtime's native library is missing or older than 1.22.</exception>
    public static void Register(SessionOptions options, bool cuda = false)
    {
        ArgumentNullException.ThrowIfNull(options);
        (cuda ? ForCuda : ForCpu).Value.AddTo(options);
    }
}
