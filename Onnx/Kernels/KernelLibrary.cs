using Microsoft.ML.Attention.Onnx.Kernels.Cuda;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>
/// The kernels of the ops in domain <c>ml.attention</c>. A model runs without them through the ops' function bodies, and faster with them.
/// </summary>
public static class KernelLibrary
{
    private static readonly Lazy<CustomOpDomain> ForCpu = new(() => Announce(new(
        AttentionOp.Domain, AttentionOps.All.SelectMany(op => op.Kernels).Where(kernel => kernel.Provider == KernelProvider.Cpu))));

    // Without the kernels for the CPU: an op that has none for CUDA runs by its body there, rather than on the host between two copies.
    private static readonly Lazy<CustomOpDomain> ForCuda = new(() => new(
        AttentionOp.Domain,
        AttentionOps.All.SelectMany(op => op.Kernels.Where(kernel => op.RunsOnHost || kernel.Provider == KernelProvider.Cuda))));

    private static readonly Lazy<string?> CudaReason = new(FindCudaUnavailableReason);

    /// <summary>
    /// What the CUDA kernels lack on this machine (a driver, a device, or the run-time compiler NVRTC); null where they can run.
    /// </summary>
    public static string? CudaUnavailableReason => CudaReason.Value;

    /// <summary>Adds the kernels to the options of a session that is to be created.</summary>
    /// <param name="options">The session's options.</param>
    /// <param name="cuda">Whether the options have the CUDA execution provider; its kernels are added too then.</param>
    /// <exception cref="NotSupportedException">
    /// ONNX Runtime's native library is missing or older than 1.22, or CUDA kernels are asked for and cannot run
    /// (<see cref="CudaUnavailableReason"/>).
    /// </exception>
    public static void Register(SessionOptions options, bool cuda = false)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (cuda && CudaUnavailableReason is { } reason)
            throw new NotSupportedException(reason);
        var forCpu = ForCpu.Value;
        (cuda ? ForCuda.Value : forCpu).AddTo(options);
    }

    // The first session adds the domain to a list of ONNX Runtime's process, in which two sessions at a time disturb each other.
    private static CustomOpDomain Announce(CustomOpDomain domain)
    {
        var graph = new GraphBuilder();
        graph.Output("y", graph.Input("x", TensorElementType.Float, [1]).Apply("Identity"));
        using var options = new SessionOptions { LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR };
        domain.AddTo(options);
        using var session = new InferenceSession(graph.ToModel().ToBytes(), options);
        return domain;
    }

    private static string? FindCudaUnavailableReason()
    {
        try
        {
            _ = Nvrtc.Instance;
            return CudaDriver.Instance.DeviceCount == 0 ? "the CUDA driver finds no device" : null;
        }
        catch (Exception exception) when (exception is NotSupportedException or KernelException or EntryPointNotFoundException)
        {
            return exception.Message;
        }
    }
}
