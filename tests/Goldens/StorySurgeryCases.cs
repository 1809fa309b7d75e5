using System.IO.Compression;
using Microsoft.ML.Attention.Onnx.Surgery;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>Exported UNets, or blocks of them, made consistent: a pass over the identity images, then one image that sees them.</summary>
internal sealed class StorySurgeryCases : IGoldenModel
{
    private static readonly (string Name, int WriteMode, int ReadMode)[] Passes = [("plain", 0, 0), ("masked", 2, 2), ("early", 0, 1)];

    public string Name => StoryCases.Family;

    public OnnxModel Build(GoldenCase golden)
    {
        var name = golden.Config.GetProperty("onnx").GetString()!.Split(' ')[0];
        using var file = File.OpenRead(Path.Combine(golden.Folder, name));
        using var unzipped = new GZipStream(file, CompressionMode.Decompress);
        using var bytes = new MemoryStream();
        unzipped.CopyTo(bytes);
        return ConsistentUnet.Rewrite(OnnxModel.Load(bytes.ToArray())).Model;
    }

    public IEnumerable<IReadOnlyDictionary<string, Tensor>> Run(GoldenCase golden, IReadOnlyList<RunMode> modes)
    {
        var unet = new ConsistentUnet(Build(golden));
        var bytes = unet.Model.ToBytes();
        return modes.Select(mode => Run(golden, unet, inputs => CaseRunner.Outputs(bytes, inputs, mode)));
    }

    private static Dictionary<string, Tensor> Run(
        GoldenCase golden, ConsistentUnet unet, Func<IReadOnlyDictionary<string, Tensor>, Dictionary<string, Tensor>> run)
    {
        var imageCount = golden.Config.GetProperty("id_length").GetInt32();
        var output = unet.Model.Graph.Outputs[0];
        var results = new Dictionary<string, Tensor>();
        foreach (var (pass, writeMode, readMode) in Passes)
        {
            var written = run(Inputs("write", writeMode, null));
            var bank = unet.Layers
                .SelectMany(layer => new[] { (layer.BankKeyInput, layer.KeyOutput), (layer.BankValueInput, layer.ValueOutput) })
                .ToDictionary(pair => pair.Item1, pair => written[pair.Item2]);
            results[$"write_{pass}"] = written[output];
            results[$"read_{pass}"] = run(Inputs("read", readMode, bank))[output];
        }
        return results;

        Dictionary<string, Tensor> Inputs(string pass, int mode, Dictionary<string, Tensor>? bank)
        {
            var inputs = GraphInputs(golden, pass);
            foreach (var layer in unet.Layers)
            {
                foreach (var name in new[] { layer.BankKeyInput, layer.BankValueInput })
                    inputs[name] = Bank(layer, bank?[name] ?? Tensor.Create<float>([], 0));
                inputs[layer.MaskInput] = Mask(golden.Tensors[$"mid:key_mask.{layer.Level}"], imageCount, isRead: pass == "read");
            }
            inputs[ConsistentUnet.ModeInput] = Tensor.Create<int>([.. Enumerable.Repeat(mode, unet.Layers.Count)], unet.Layers.Count);
            return inputs;
        }

        // All tokens of a group, [groups, M, C].
        Tensor Bank(ConsistentLayer layer, Tensor written) =>
            written.Reshape(unet.GroupCount, written.ElementCount / unet.GroupCount / layer.Channels, layer.Channels);
    }

    // The inputs that the graph had before; of a whole UNet the sample comes twice, without and with the prompt.
    private static Dictionary<string, Tensor> GraphInputs(GoldenCase golden, string pass)
    {
        var inputs = golden.Inputs;
        var text = inputs[$"ehs.{pass}"];
        if (golden.Variant == "onnx_surgery_block")
        {
            return new()
            {
                ["hidden_states"] = inputs[$"hidden.{pass}"],
                ["skip_0"] = inputs[$"skip0.{pass}"],
                ["skip_1"] = inputs[$"skip1.{pass}"],
                ["temb"] = inputs[$"temb.{pass}"],
                ["encoder_hidden_states"] = text,
            };
        }
        var sample = inputs[$"sample.{pass}"];
        float[] size = [.. golden.Config.GetProperty("time_ids").EnumerateArray().Select(id => id.GetSingle())];
        return new()
        {
            ["sample"] = Repeat(sample.AsSpan<float>(), 2, [sample.Dims[0], .. sample.Dims.Skip(1)]),
            ["timestep"] = Tensor.Scalar(golden.Config.GetProperty("timestep").GetSingle()),
            ["encoder_hidden_states"] = text,
            ["text_embeds"] = inputs[$"pooled.{pass}"],
            ["time_ids"] = Repeat(size, (int)text.Dims[0], [1, size.Length]),
        };
    }

    private static Tensor Repeat(ReadOnlySpan<float> values, int count, long[] dims)
    {
        var all = new float[values.Length * count];
        for (var i = 0; i < count; i++)
            values.CopyTo(all.AsSpan(i * values.Length));
        return Tensor.Create<float>(all, [dims[0] * count, .. dims.Skip(1)]);
    }

    // Of the mask [images + 1, (images + 1) * N] the rows of the identity images without the last image's keys, or the last row.
    private static Tensor Mask(Tensor whole, int imageCount, bool isRead)
    {
        var columns = (int)whole.Dims[1];
        var kept = isRead ? columns : columns / (imageCount + 1) * imageCount;
        var rows = isRead ? [imageCount] : Enumerable.Range(0, imageCount).ToArray();
        var allowed = rows.SelectMany(row => whole.AsSpan<byte>().Slice(row * columns, kept).ToArray());
        bool[] mask = [.. allowed.Select(value => value != 0)];
        return Tensor.Create<bool>(mask, rows.Length, kept);
    }
}
