namespace Microsoft.ML.Attention;

/// <summary>Where ONNX Runtime computes.</summary>
public enum ExecutionProvider
{
    /// <summary>
    /// CUDA where the runtime package, the libraries and a device are there, the CPU otherwise; <c>MLContext.Log</c> says which and why.
    /// </summary>
    Auto = 0,

    /// <summary>The CPU.</summary>
    Cpu = 1,

    /// <summary>A CUDA device; an error that names the missing piece where there is none.</summary>
    Cuda = 2,
}
