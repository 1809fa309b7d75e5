using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>Starts trainings where scoring would run, too.</summary>
internal static class TrainingSession
{
    /// <summary>Opens a training graph on the execution provider that its model opens on, and logs which one that is.</summary>
    public static Trainer Start(
        IHostEnvironment environment, TrainingGraph graph, OnnxSessionOptions options, int stepSize, int seed, IChannel channel)
    {
        using var forward = OnnxSession.Open(environment, new ModelContent(graph.Forward.ToBytes()), options);
        channel.Info($"Training {graph.ParameterCount} parameters on {forward.Provider}, {stepSize} examples a step.");
        using var session = options.CreateSessionOptions(forward.CudaDevice);
        // The kernels for the CPU are of float32.
        if (forward.CudaDevice is not null || graph.Precision == TrainingPrecision.Float32)
            KernelLibrary.Register(session, cuda: forward.CudaDevice is not null);
        return new(graph, session, forward.CudaDevice, seed);
    }
}
