using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>A set of kernels under a domain name, to be added to any number of sessions. Lives as long as the process.</summary>
internal sealed unsafe class CustomOpDomain
{
    private readonly void* _domain;

    public CustomOpDomain(string name, IEnumerable<Kernel> kernels)
    {
        OrtCApi.EnsureLoaded();
        _domain = OrtCApi.CreateDomain(name);
        foreach (var kernel in kernels)
            OrtCApi.AddToDomain(_domain, new CustomOp(name, kernel).Native);
    }

    public void AddTo(SessionOptions options) => OrtCApi.AddDomain(options, _domain);
}
