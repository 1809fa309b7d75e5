namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>The input <c>keep</c> of raft-token mixing and its parts: which examples a branch is added to, and by what factor.</summary>
internal static class KeptExamples
{
    /// <summary>1 if there is a number for each example, 0 if there is one for all.</summary>
    public static int StepOf(KernelInput keep, long batch) =>
        keep.Shape.ElementCount == 1 ? 0
        : keep.Shape.ElementCount == batch ? 1
        : throw new KernelException($"input 'keep' has shape {keep.Shape}, expected one number or {batch}, one for each example");
}
