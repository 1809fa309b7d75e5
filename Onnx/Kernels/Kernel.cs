using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>What computes a node of a custom op; one instance a node, called by many threads at once.</summary>
internal interface IKernel : IDisposable
{
    void Compute(KernelContext context);
}

/// <summary>Makes the kernel of one node from the node's attributes.</summary>
internal delegate IKernel CreateKernel(KernelAttributes attributes);

/// <summary>Where a kernel runs: the execution provider whose nodes it serves.</summary>
internal enum KernelProvider
{
    Cpu,
    Cuda,
}

/// <summary>One implementation of an op: for one execution provider and one element type.</summary>
/// <param name="Signature">Name and parameters of the op.</param>
/// <param name="Provider">The execution provider.</param>
/// <param name="Type">The element type of the parameters that declare none of their own.</param>
/// <param name="Create">Makes the kernel of one node.</param>
internal sealed record Kernel(KernelSignature Signature, KernelProvider Provider, TensorElementType Type, CreateKernel Create);

/// <summary>The contract of an op as its kernels see it.</summary>
/// <param name="Op">Name in its domain.</param>
/// <param name="Inputs">Inputs in order, optional ones last.</param>
/// <param name="Outputs">Outputs in order, optional ones last.</param>
internal sealed record KernelSignature(string Op, KernelParameter[] Inputs, KernelParameter[] Outputs)
{
    /// <summary>A kernel of this op on the CPU for element type <typeparamref name="T"/>.</summary>
    public Kernel Cpu<T>(CreateKernel create) where T : unmanaged => new(this, KernelProvider.Cpu, ElementType<T>(), create);

    /// <summary>A kernel of this op on CUDA devices for element type <typeparamref name="T"/>.</summary>
    public Kernel Cuda<T>(CreateKernel create) where T : unmanaged => new(this, KernelProvider.Cuda, ElementType<T>(), create);

    private static TensorElementType ElementType<T>() where T : unmanaged => default(T) switch
    {
        float => TensorElementType.Float,
        double => TensorElementType.Double,
        Half => TensorElementType.Float16,
        long => TensorElementType.Int64,
        int => TensorElementType.Int32,
        _ => throw new NotSupportedException($"no tensor element type is known for {typeof(T)}"),
    };
}

/// <summary>An input or output of an op.</summary>
/// <param name="Name">Name in the op's contract, used in error messages.</param>
internal sealed record KernelParameter(string Name)
{
    /// <summary>A fixed element type; without one the parameter has the element type of the kernel variant.</summary>
    public TensorElementType? Type { get; init; }

    public bool Optional { get; init; }

    /// <summary>For an input: whether it is in the host's memory even where the kernel runs on a device.</summary>
    public bool OnHost { get; init; }

    /// <summary>For an output: index of the input whose shape it has, for shape inference when the session is created.</summary>
    public int? ShapeOfInput { get; init; }

    public static implicit operator KernelParameter(string name) => new(name);
}
