using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>What the numbers of a model are computed in when it scores.</summary>
public enum ScoringPrecision
{
    /// <summary>As the model says.</summary>
    AsModel = 0,

    /// <summary>
    /// On CUDA in float16: products, attention and what lies between them. Sums of many elements, statistics of normalisations, and what
    /// the model casts to float32 itself, such as boxes, stay in float32; so do inputs and outputs. The CPU, which gains nothing by it,
    /// computes as the model says.
    /// </summary>
    Half = 1,
}

/// <summary>How an ONNX model is run. Saved with the transformer that uses it.</summary>
public sealed record OnnxSessionOptions
{
    private const int PrecisionShift = 8;

    /// <summary>Where the model runs; <see cref="ExecutionProvider.Auto"/> by default.</summary>
    public ExecutionProvider ExecutionProvider { get; init; } = ExecutionProvider.Auto;

    /// <summary>
    /// The CUDA device, from 0; <see langword="null"/> takes <see cref="MLContext.GpuDeviceId"/>, or 0 where that is not set.
    /// </summary>
    public int? DeviceId { get; init; }

    /// <summary>What the numbers are computed in; as the model says by default.</summary>
    public ScoringPrecision Precision { get; init; }

    /// <summary>Threads that share one operator's work on the CPU; 0 lets ONNX Runtime choose (one a core).</summary>
    public int IntraOpThreadCount { get; init; }

    /// <summary>How far ONNX Runtime rewrites the graph when it loads it.</summary>
    public GraphOptimizationLevel GraphOptimizationLevel { get; init; } = GraphOptimizationLevel.ORT_ENABLE_ALL;

    /// <summary>The settings of ONNX Runtime for a session on a CUDA device, or on the CPU without one.</summary>
    internal SessionOptions CreateSessionOptions(int? cudaDevice)
    {
        var session = new SessionOptions
        {
            IntraOpNumThreads = IntraOpThreadCount,
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR,
        };
        if (cudaDevice is { } device)
        {
            session.AppendExecutionProvider_CUDA(device);
            // The host's threads have little to do, and would keep cores busy waiting for it.
            session.AddSessionConfigEntry("session.intra_op.allow_spinning", "0");
        }
        return session;
    }

    internal void Save(ModelSaveContext context)
    {
        // In one number, as models were saved before there were precisions.
        context.Writer.Write((int)ExecutionProvider | ((int)Precision << PrecisionShift));
        context.Writer.Write(DeviceId ?? -1);
        context.Writer.Write(IntraOpThreadCount);
        context.Writer.Write((int)GraphOptimizationLevel);
    }

    internal static OnnxSessionOptions Load(ModelLoadContext context)
    {
        int providerAndPrecision = context.Reader.ReadInt32();
        int deviceId = context.Reader.ReadInt32();
        return new()
        {
            ExecutionProvider = (ExecutionProvider)(providerAndPrecision & ((1 << PrecisionShift) - 1)),
            Precision = (ScoringPrecision)(providerAndPrecision >> PrecisionShift),
            DeviceId = deviceId < 0 ? null : deviceId,
            IntraOpThreadCount = context.Reader.ReadInt32(),
            GraphOptimizationLevel = (GraphOptimizationLevel)context.Reader.ReadInt32(),
        };
    }
}
