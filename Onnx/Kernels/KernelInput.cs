namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>An input tensor of a kernel, in the memory of the kernel's execution provider.</summary>
internal readonly unsafe ref struct KernelInput
{
    private readonly void* _data;

    public KernelInput(string name, void* tensor)
    {
        Name = name;
        IsPresent = tensor != null;
        if (!IsPresent)
            return;
        Shape = OrtCApi.GetShape(tensor);
        _data = OrtCApi.GetData(tensor);
    }

    public string Name { get; }

    /// <summary>False for an optional input that the node leaves out.</summary>
    public bool IsPresent { get; }

    public TensorShape Shape { get; }

    public T* Data<T>() where T : unmanaged => (T*)_data;

    /// <summary>This input, if its shape is the expected one.</summary>
    /// <param name="layout">The op's words for the shape, for example <c>[N, H, W, C]</c>.</param>
    /// <param name="dims">The dimensions; negative ones may be any.</param>
    /// <exception cref="KernelException">The input is absent or has another shape.</exception>
    public KernelInput Expect(string layout, params ReadOnlySpan<long> dims)
    {
        if (!IsPresent)
            throw new KernelException($"input '{Name}' is missing");
        var matches = Shape.Rank == dims.Length;
        for (var axis = 0; matches && axis < dims.Length; axis++)
            matches = dims[axis] < 0 || dims[axis] == Shape.Dims[axis];
        if (matches)
            return this;
        var known = dims.ContainsAnyExcept(-1) ? $" = {TensorShape.Format(dims)}" : "";
        throw new KernelException($"input '{Name}' has shape {Shape}, expected {layout}{known}");
    }
}
